"""How many faults are injected, and the account of what became of them."""

from __future__ import annotations

import hashlib
import json
import platform
import random
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from tabulate import tabulate

PACKAGES = ("torch", "zarr", "snakemake")


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


@dataclass(frozen=True)
class Digests:
    """Two runs that must have made the same bytes."""

    what: str
    uninterrupted: str
    interrupted: str


@dataclass
class Campaign:
    """One session of fault tests."""

    full: bool
    seed: int
    rows: list[Row] = field(default_factory=list)
    pairs: list[Digests] = field(default_factory=list)

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

    def same(self, what: str, uninterrupted: str, interrupted: str) -> None:
        """Set the digests of two runs side by side."""
        self.pairs.append(Digests(what, uninterrupted, interrupted))

    def table(self) -> str:
        """Faults by kind, then digests; plain text that is Markdown too."""
        faults = [(r.kind, r.injected, r.detected, r.recovered, r.lost) for r in self.rows]
        heads = ["fault", "injected", "detected", "recovered", "lost"]
        parts = [tabulate(faults, heads, tablefmt="github")]
        if self.pairs:
            pairs = [(p.what, p.uninterrupted[:16], p.interrupted[:16]) for p in self.pairs]
            heads = ["output", "uninterrupted", "interrupted"]
            parts.append(tabulate(pairs, heads, tablefmt="github", disable_numparse=True))
        return "\n\n".join(parts)

    def write_report(self, page: Path) -> None:
        """Write the table as a page, beside the JSON that it is made of.

        Kinds that this session did not try keep the figures of the session that did.
        """
        data = page.with_suffix(".json")
        kept = json.loads(data.read_text()) if data.exists() else {"faults": {}, "digests": {}}
        for row in self.rows:
            kept["faults"][row.kind] = asdict(row)
        for pair in self.pairs:
            kept["digests"][pair.what] = asdict(pair)
        data.write_text(json.dumps(kept, indent=1) + "\n")
        whole = Campaign(self.full, self.seed)
        whole.rows = [Row(**row) for row in kept["faults"].values()]
        whole.pairs = [Digests(**pair) for pair in kept["digests"].values()]
        versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        page.write_text(
            "# Figures of the last full run of the fault tests\n\n"
            f"Written by `pytest tests/faults --faults full`. Python {platform.python_version()}, "
            f"{versions}; "
            f"{platform.machine()}, {platform.system()}.\n\n{whole.table()}\n"
        )


def folder_digest(folder: Path, *, without: tuple[str, ...] = ()) -> str:
    """sha256 over the names and bytes of every file below ``folder``.

    Args:
        folder: Where to look.
        without: Suffixes of paths that are left out.
    """
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.endswith(without):
            content = path.read_bytes()
            state.update(f"{name} {len(content)}\n".encode() + content)
    return state.hexdigest()
