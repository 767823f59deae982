"""How many faults are injected, and the account of what became of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tabulate import tabulate


@dataclass(frozen=True)
class Row:
    """One kind of fault.

    Attributes:
        kind: What was done, to what.
        injected: How often.
        detected: How often it was found, or met by a message; for kills, that a process died of it.
        recovered: How often the following run ended as if nothing had happened.
        lost: Finished work that had to be done again although it was not touched.
    """

    kind: str
    injected: int
    detected: int
    recovered: int
    lost: int


@dataclass
class Campaign:
    """One session of fault tests."""

    full: bool
    seed: int
    rows: list[Row] = field(default_factory=list)

    def times(self, *, full: int, short: int) -> int:
        """How many faults of a kind to inject."""
        return full if self.full else short

    def chance(self, *names: str | int) -> random.Random:
        """Random choices that depend on the session's seed and on ``names``."""
        return random.Random(repr((self.seed, *names)))

    def record(
        self, kind: str, *, injected: int, detected: int, recovered: int, lost: int = 0
    ) -> None:
        """Count one kind of fault; call it before asserting, so that failures show in the table."""
        self.rows.append(Row(kind, injected, detected, recovered, lost))

    def table(self) -> str:
        """Faults by kind; plain text that is Markdown too."""
        faults = [(r.kind, r.injected, r.detected, r.recovered, r.lost) for r in self.rows]
        heads = ["fault", "injected", "detected", "recovered", "lost"]
        return tabulate(faults, heads, tablefmt="github")
