"""SEALED.json: what a finished store holds, and that it holds it still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sagsae.activations.commits import Commit, block_fault
from sagsae.activations.errors import Fault
from sagsae.activations.layout import SEALED, StoreConfig, commit_name
from sagsae.files import digest, read_signed_json


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
        if not (path / commit_name(block)).exists():
            outcome = f"it writes block {block} again"
            yield Fault(commit_name(block), "missing, but sealed", outcome, (SEALED,))
        elif block in commits and commit_digest(path, block) != expected:
            yield block_fault(commit_name(block), "not the commit that was sealed", block)


def commit_digest(path: Path, block: int) -> str:
    """sha256 of a block's commit file, as the seal records it."""
    return digest((path / commit_name(block)).read_bytes())
