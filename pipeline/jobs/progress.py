"""Progress lines of long stages: a line every few seconds on standard error, never a screenful."""

from __future__ import annotations

import sys
import time
from contextlib import suppress


class Progress:
    """Prints ``stage: done/total unit, rate/s, ETA`` at most every ``every`` seconds.

    Args:
        stage: What is running, for example ``train smollm2-135m/attn/...``.
        total: Amount that will be done.
        unit: What is counted, for example ``tokens``.
        done: Amount already done by an earlier run; not counted in the rate.
    """

    def __init__(self, stage: str, total: float, unit: str, done: float = 0.0, every: float = 10.0):
        self.stage, self.total, self.unit, self.every = stage, total, unit, every
        self.start = self.last = time.monotonic()
        self.first = done

    def update(self, done: float, extra: str = "") -> None:
        """Report ``done`` units, all runs together; the last unit is always printed."""
        now = time.monotonic()
        if now - self.last < self.every and done < self.total:
            return
        self.last = now
        rate = (done - self.first) / max(now - self.start, 1e-9)
        left = (self.total - done) / rate if rate > 0 else float("inf")
        eta = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min"
        finish = f"ETA {eta}" if done < self.total else f"done in {now - self.start:.0f} s"
        line = f"{self.stage}: {done:,.0f}/{self.total:,.0f} {self.unit}, {rate:,.0f}/s, {finish}"
        with suppress(BrokenPipeError):  # whoever read the log is gone; the work goes on
            print(line + (f", {extra}" if extra else ""), file=sys.stderr, flush=True)


def say(message: str) -> None:
    """One line of progress on stderr."""
    print(message, file=sys.stderr, flush=True)
