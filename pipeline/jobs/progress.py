"""How far a long stage is: a line on standard error every few seconds.

The rules send that of every job to its log.
"""

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

    The first ``update`` may have what an earlier run did: the rate counts from there.
    """

    def __init__(self, stage: str, total: float, unit: str, every: float = 10.0):
        self.stage, self.total, self.unit, self.every = stage, total, unit, every
        self.start = self.last = time.monotonic()
        self.first: tuple[float, float] | None = None

    def update(self, done: float, extra: str = "") -> None:
        """Report ``done`` units, all runs together; the last unit is always printed."""
        now = time.monotonic()
        if self.first is None:
            self.first = (now, done) if done < self.total else (self.start, 0.0)
        if now - self.last < self.every and done < self.total:
            return
        self.last = now
        since, before = self.first
        shown = [f"{self.stage}: {done:,.0f}/{self.total:,.0f} {self.unit}"]
        if (rate := (done - before) / max(now - since, 1e-9)) > 0:
            left = (self.total - done) / rate
            eta = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min"
            finish = f"ETA {eta}" if done < self.total else f"done in {now - self.start:.0f} s"
            shown += [f"{rate:,.0f}/s", finish]
        with suppress(BrokenPipeError):  # whoever read the log is gone; the work goes on
            print(", ".join(filter(None, [*shown, extra])), file=sys.stderr, flush=True)


def say(message: str) -> None:
    """One line of progress on stderr."""
    print(message, file=sys.stderr, flush=True)
