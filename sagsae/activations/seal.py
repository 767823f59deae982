"""SEALED.json: what a finished store holds, and that it holds it still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sagsae.activations.commits import Commit, Moments, Statistics, block_fault
from sagsae.activations.errors import Fault
from sagsae.activations.layout import SEALED, StoreConfig, commit_name, commit_path
from sagsae.files import digest, read_signed_json


def seal_content(path: Path, config: StoreConfig, commits: Mapping[int, Commit]) -> dict[str, Any]:
    """The content of SEALED.json: the digest of every commit, and totals over all of them."""
    blocks = [commits[block] for block in range(config.n_blocks)]
    rules = sorted({rule for commit in blocks for rule in commit.dropped})
    return {
        "n_rows": config.n_rows,
        "run_sha256": config.digest(),
        "commits_sha256": [_commit_digest(path, block) for block in range(config.n_blocks)],
        "dropped": {rule: sum(c.dropped.get(rule, 0) for c in blocks) for rule in rules},
        "statistics": {
            name: Statistics.of(Moments.merged(c.moments[name] for c in blocks)).to_json()
            for name in config.hookpoints
        },
    }


def seal_faults(path: Path, config: StoreConfig, commits: Mapping[int, Commit]) -> Iterator[Fault]:
    """What the seal, if there is one, says about the commits; unusable ones are passed over."""
    if not (path / SEALED).exists():
        return
    try:
        seal = read_signed_json(path / SEALED)
        sealed = seal["commits_sha256"]
        if (seal["run_sha256"], len(sealed)) != (config.digest(), config.n_blocks):
            raise ValueError("made for another run.json")
    except (ValueError, KeyError, TypeError) as error:
        yield Fault(SEALED, str(error), "it verifies every block and seals the store", (SEALED,))
        return
    for block, expected in enumerate(sealed):
        if not commit_path(path, block).exists():
            outcome = f"it writes block {block} again"
            yield Fault(commit_name(block), "missing, but sealed", outcome, (SEALED,))
        elif block in commits and _commit_digest(path, block) != expected:
            yield block_fault(commit_name(block), "not the commit that was sealed", block)


def _commit_digest(path: Path, block: int) -> str:
    return digest(commit_path(path, block).read_bytes())
