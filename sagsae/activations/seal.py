"""The seal of a finished store: what opens it without a look at its blocks.

SEALED.json has the sha256 of every commit, and the statistics that the commits merge into. A reader
trusts it and checks a commit when it first reads the block. `verify_store` checks the seal itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sagsae.activations.commits import Commit, Moments, Statistics, block_fault
from sagsae.activations.errors import Fault, StoreFaultsError
from sagsae.activations.layout import SEALED, StoreConfig, commit_name
from sagsae.files import checked_json, signed_json
from sagsae.storage import Location, Storage, storage_at


def merged_statistics(commits: Mapping[int, Commit], hookpoint: str) -> Statistics:
    """Statistics of a hookpoint over the rows of some commits, in the order of their blocks."""
    return Statistics.of(Moments.merged(commits[b].moments[hookpoint] for b in sorted(commits)))


def total_dropped(commits: Mapping[int, Commit]) -> dict[str, int]:
    """Tokens kept out by each rule, over some commits."""
    totals: Counter[str] = Counter()
    for block in sorted(commits):
        totals.update(commits[block].dropped)
    return dict(totals)


@dataclass(frozen=True, kw_only=True)
class Seal:
    """The content of SEALED.json."""

    n_rows: int
    run_sha256: str
    """Of the configuration."""
    commits_sha256: list[str]
    """Of the commit file of each block."""
    dropped: Mapping[str, int]
    """Tokens kept out by each rule."""
    statistics: Mapping[str, Statistics]
    """Of each hookpoint, over all rows."""

    @classmethod
    def of(cls, config: StoreConfig, commits: Mapping[int, Commit]) -> Self:
        """The seal of a store with these commits, one of each block."""
        return cls(
            n_rows=len(commits) * config.rows_per_block,
            run_sha256=config.digest(),
            commits_sha256=[commits[block].file_digest() for block in sorted(commits)],
            dropped=total_dropped(commits),
            statistics={name: merged_statistics(commits, name) for name in config.hookpoints},
        )

    def to_json(self) -> dict[str, Any]:
        """The content of the file, without its digest."""
        statistics = {name: found.to_json() for name, found in self.statistics.items()}
        return {**vars(self), "dropped": dict(self.dropped), "statistics": statistics}

    def write(self, storage: Storage) -> None:
        """Seal a store, unless another writer has sealed as many rows or more meanwhile."""
        content = signed_json(self.to_json())
        while not storage.create(SEALED, content):
            try:
                found = storage.read(SEALED)
                rows = checked_json(found).get("n_rows", 0)
            except FileNotFoundError:
                continue
            except ValueError:  # damaged: whoever reads it says so
                return
            if rows >= self.n_rows or storage.swap(SEALED, found, content):
                return

    @classmethod
    def read(cls, storage: Storage, config: StoreConfig) -> Self:
        """The seal of a store.

        Raises:
            FileNotFoundError: it is not sealed.
            ValueError: edited, damaged, or of another configuration.
        """
        value = checked_json(storage.read(SEALED))
        try:
            found = {n: Statistics.from_json(s) for n, s in value.pop("statistics").items()}
            seal = cls(statistics=found, **value)
            rows = len(seal.commits_sha256) * config.rows_per_block
            widths = {name: len(of.mean) for name, of in found.items()}
            counts = [of.count for of in found.values()] + list(seal.dropped.values())
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"missing or unknown keys ({error})") from error
        mine = (config.digest(), rows, config.hookpoints)
        if mine != (seal.run_sha256, seal.n_rows, widths) or not rows:
            raise ValueError("made for another run.json")
        if not all(isinstance(count, int) for count in counts):
            raise ValueError(f"counts are {counts}")
        return seal


def seal_fault(problem: object) -> Fault:
    """A fault that sealing the store again cures."""
    return Fault(SEALED, str(problem), "it verifies every block and seals the store", (SEALED,))


def sealed_rows(where: Location) -> int:
    """Rows of a store that were verified and sealed; 0 where there is no seal.

    Raises:
        StoreFaultsError: the configuration or the seal is damaged.
    """
    storage = storage_at(where)
    try:
        return Seal.read(storage, StoreConfig.read(storage)).n_rows
    except FileNotFoundError:
        return 0
    except ValueError as error:
        raise StoreFaultsError(storage, [seal_fault(error)]) from error


class SealedCommits(Mapping[int, Commit]):
    """The commits of a sealed store by block, each read and checked when it is first asked for.

    Args:
        storage: of the store.
        config: of the store.
        expected: sha256 of the commits of its blocks, or of the first of them.
    """

    def __init__(self, storage: Storage, config: StoreConfig, expected: Sequence[str]) -> None:
        self._storage, self._config, self.expected = storage, config, expected
        self._read: dict[int, Commit] = {}

    def __getitem__(self, block: int) -> Commit:
        """The commit of a block.

        Raises:
            KeyError: the store has no such block.
            StoreFaultsError: it is missing, damaged, or not the one that was sealed.
        """
        if block not in self:
            raise KeyError(block)
        if block not in self._read:
            try:
                self._read[block] = self._checked(block)
            except FileNotFoundError:
                raise StoreFaultsError(self._storage, [missing_commit(block)]) from None
            except ValueError as error:
                fault = block_fault(commit_name(block), error, block)
                raise StoreFaultsError(self._storage, [fault]) from error
        return self._read[block]

    def _checked(self, block: int) -> Commit:
        commit = Commit.read(self._storage, self._config, block)
        if commit.file_digest() != self.expected[block]:
            raise ValueError("not the commit that was sealed")
        return commit

    def __contains__(self, block: object) -> bool:
        return isinstance(block, int) and 0 <= block < len(self)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return len(self.expected)


def missing_commit(block: int) -> Fault:
    """The fault of a sealed store that lacks a commit."""
    outcome = f"it writes block {block} again"
    return Fault(commit_name(block), "missing, but sealed", outcome, (SEALED,))
