"""What docs/performance.md promises for a kind of CPU, and what a benchmark found below it.

The table of that page is read, so that what is promised stands once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from sagsae.activations.cpu_products import cpu_kind

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PEERS = Path(".venv-peers/bin/python")
STEP = "at least, times as fast"
"""Heading of the promises' first column; the others are kinds of CPU."""
BETTER_PATH = "any L0, of the better path"


def promised(page: str, column: str) -> dict[str, float]:
    """The least ratio by step, of one kind of CPU; steps without a number are left out.

    Raises:
        ValueError: the page has no such table or column.
    """
    lines = page.splitlines()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    first = next((n for n, row in enumerate(rows) if row[0] == STEP), None)
    if first is None or column not in rows[first]:
        raise ValueError(f"{PAGE} has no table with columns {STEP!r} and {column!r}: add them")
    at, found = rows[first].index(column), {}
    for line, row in zip(lines[first + 2 :], rows[first + 2 :], strict=True):
        if not line.startswith("|"):
            break
        if row[at] not in ("", "-"):
            found[row[0]] = float(row[at])
    return found


def broken(ratios: Mapping[str, float], promises: Mapping[str, float]) -> list[str]:
    """A line for each ratio that is below its promise."""
    return [
        f"{name}: {ratio:.2f} times as fast, docs/performance.md promises {promises[name]:g}"
        for name, ratio in ratios.items()
        if ratio < promises.get(name, 0.0)
    ]


def check(ratios: Mapping[str, float]) -> None:
    """Say what holds.

    Raises:
        SystemExit: a ratio is below its promise, or nothing of what was measured is promised; with
            exit status 1, and the rows.
    """
    column = cpu_kind()
    promises = promised(PAGE.read_text(), column)
    if not promises.keys() & ratios.keys():
        raise SystemExit(f"{PAGE} promises nothing of {', '.join(ratios)} on a CPU with {column}")
    if found := broken(ratios, promises):
        raise SystemExit("\n".join([f"Below the promise for a CPU with {column}:", *found]))
    print(f"\nEvery ratio is as promised for a CPU with {column}.")


def add_check(parser: argparse.ArgumentParser) -> None:
    """The option ``--check`` of a benchmark."""
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail where a ratio of processor times is below what docs/performance.md promises",
    )


def with_peers(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Give a check the peers of ``make bench``, unless others are named."""
    if args.check and not args.peers:
        if not PEERS.exists():
            parser.error("--check needs other libraries: --peers, or make .venv-peers/.ready first")
        args.peers = str(PEERS)
