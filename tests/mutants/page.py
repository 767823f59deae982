"""The page of survivors and their reasons."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from tabulate import tabulate

from tests.mutants.mutations import LEFT_OUT, Key
from tests.mutants.target import KILLED, SURVIVED, TIMEOUT

PACKAGES = ("mutmut", "torch", "numpy", "pandas")
HEADS = ("module", "mutants", "killed", "timeouts", "survivors", "killed, %")
INTRODUCTION = """\
# Mutants

A mutant is a module with one small change: `<` for `<=`, `+` for `-`, None for an argument, a
number one higher, a call for its effect left out. Its tests are then run. If one fails, the mutant
is *killed*. If all pass, it *survives*: nothing in the tests depends on what was changed.

`make mutants` tries every mutant of the modules below, each against the test files that are about
its module, and writes this page. It is not part of `make test`. It fails if a survivor has no
reason in `tests/mutants/survivors.toml`, if a reason has no survivor, or if less than 95 % are
killed. A run that was stopped goes on where it was: `.mutants/` keeps what is done.
`python -m tests.mutants sagsae/sweeps.py` tries one module.

The changes are those of mutmut, applied to the whole module: mutmut alone leaves out decorated
functions, and with them every claim and every property. One is added: a call for its effect is
left out. A mutant that needs more than three times the processor time of its tests is a timeout
and counts as killed. Hypothesis draws the same examples each time, 25 of each kind.

Not changed:

{rules}

{versions}

{table}

## Survivors

Each changes nothing that a user could notice, or something that these tests cannot reach, as its
reason says.
"""


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test killed."""

    module: str
    key: Key

    def __str__(self) -> str:
        nth = f" ({self.key.nth + 1})" if self.key.nth else ""
        where = f" {self.key.where}" if self.key.where else ""
        return f"{self.module}{where}{nth}: {self.key.was} -> {self.key.now}"


@dataclass(frozen=True)
class Row:
    """How many mutants of a module there are, and what became of them."""

    module: str
    mutants: int
    killed: int
    timeouts: int
    survivors: int

    @classmethod
    def of(cls, module: str, outcomes: Sequence[str]) -> Row:
        counts = (outcomes.count(outcome) for outcome in (KILLED, TIMEOUT, SURVIVED))
        return cls(module, len(outcomes), *counts)

    @classmethod
    def total(cls, rows: Sequence[Row]) -> Row:
        columns = zip(*((r.mutants, r.killed, r.timeouts, r.survivors) for r in rows), strict=True)
        return cls("all", *map(sum, columns))

    @property
    def share(self) -> float:
        return (self.killed + self.timeouts) / self.mutants

    @property
    def cells(self) -> tuple[str | int, ...]:
        counts = (self.mutants, self.killed, self.timeouts, self.survivors)
        return (self.module, *counts, f"{self.share:.1%}".removesuffix("%"))

    def __str__(self) -> str:
        return (
            f"{self.module}: {self.mutants} mutants, {self.killed} killed, {self.timeouts} "
            f"timeouts, {self.survivors} survived ({self.share:.1%} killed)"
        )


def read_reasons(path: Path) -> dict[Survivor, str]:
    """Survivor -> why it may live.

    Raises:
        ValueError: a reason is empty.
    """
    found = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("survivors", []):
        if not entry["reason"].strip():
            raise ValueError(f"{path}: a survivor of {entry['module']} has an empty reason")
        for key in entry["mutants"]:
            found[Survivor(entry["module"], Key(**key))] = " ".join(entry["reason"].split())
    return found


def page(rows: Sequence[Row], survivors: Sequence[tuple[Survivor, str]]) -> str:
    """Markdown: what is tried, how many survive, and each survivor under its reason."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    cells = [row.cells for row in (*rows, Row.total(rows))]
    parts = [
        INTRODUCTION.format(
            rules="\n".join(f"- {rule}" for rule in LEFT_OUT),
            versions=f"Last run: Python {platform.python_version()}, {versions}.",
            table=tabulate(cells, HEADS, tablefmt="github", disable_numparse=True),
        )
    ]
    for module, group in groupby(survivors, key=lambda item: item[0].module):
        parts.append(f"### {module}\n")
        by_reason: dict[str, list[Key]] = {}
        for survivor, reason in group:
            by_reason.setdefault(reason or "No reason yet.", []).append(survivor.key)
        for reason, keys in by_reason.items():
            lines = [f"{reason}\n", *map(_line, keys)]
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(key: Key) -> str:
    where = f"`{key.where}`: " if key.where else ""
    return f"- {where}{_code(key.was)} becomes {_code(key.now) if key.now else 'nothing'}"


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"
