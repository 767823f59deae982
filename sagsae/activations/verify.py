"""Checks of a store against its configuration, its commits and its seal.

Opening a store looks at what does not grow with its rows. `verify_store` looks at everything, with
one dask task per chunk: a client of a dask cluster spreads a large store over its workers. Its
tasks are those of `Store.dask` without the conversion, and they return faults, so that the first
fault does not hide the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dask

from sagsae.activations.arrays import PieceReader, is_metadata, metadata_files
from sagsae.activations.commits import Commit, block_fault, calibration_digest, read_commits
from sagsae.activations.errors import Fault, StoreFaultsError
from sagsae.activations.layout import CALIBRATION, DATA, SEALED, StoreConfig, commit_name
from sagsae.activations.seal import Seal, missing_commit, seal_fault
from sagsae.files import read_signed_json

Report = Callable[[int, int], None]
"""Called with the chunks checked so far and those there are."""

_TASKS = 1024
"""Chunks checked between two reports."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What `verify_store` found.

    Attributes:
        faults: everything that is wrong.
        sealed: whether the dump was finished.
        commits: the usable ones, by block.
        chunks: pieces with a checksum of their own that were read.
        size: their files' bytes.
    """

    faults: list[Fault]
    sealed: bool
    commits: Mapping[int, Commit] = field(default_factory=dict)
    chunks: int = 0
    size: int = 0


def verify_store(path: Path, report: Report | None = None, *, trusted: int = 0) -> Verification:
    """Check everything in the store at `path`, finished or not, reading every chunk once.

    One dask task reads one chunk, on threads or on the active dask client.

    Args:
        path: its folder.
        report: called as chunks are checked.
        trusted: first blocks whose chunks are not read, since a seal says that they were verified.

    Raises:
        StoreError: there is no store.
    """
    sealed = (path / SEALED).exists()
    try:
        config = StoreConfig.read(path)
    except StoreFaultsError as error:
        return Verification(faults=error.faults, sealed=sealed)
    commits, faults = read_commits(path, config)
    faults += [
        *metadata_faults(path, config),
        *calibration_faults(path, commits),
        *_size_faults(path, commits),
        *_seal_faults(path, config, commits),
    ]
    faults += _content_faults(
        path,
        config,
        {block: commit for block, commit in commits.items() if block >= trusted},
        {fault.file for fault in faults},
        report,
    )
    return Verification(
        faults=faults,
        sealed=sealed,
        commits=commits,
        chunks=sum(len(sums) for c in commits.values() for sums in c.crc32c.values()),
        size=sum(size for c in commits.values() for f in c.files.values() for size in f.values()),
    )


def metadata_faults(path: Path, config: StoreConfig) -> Iterator[Fault]:
    """Every zarr.json that is not what run.json makes it."""
    for file in metadata_files(config):
        if not is_metadata(path, file, config):
            problem = "altered: not what run.json makes it" if (path / file).exists() else "missing"
            yield Fault(file, problem, "it writes this file again")


def check_calibration(path: Path, config: StoreConfig) -> None:
    """Refuse to add blocks of other medians to those there are.

    Raises:
        StoreFaultsError: calibration.json is not the one that the blocks were made with.
    """
    commits, _ = read_commits(path, config)
    if faults := list(calibration_faults(path, commits)):
        raise StoreFaultsError(path, faults)


def calibration_faults(path: Path, commits: Mapping[int, Commit]) -> Iterator[Fault]:
    """Whether calibration.json is sound, and the one that every block was made with."""
    found = calibration_digest(path)
    others = sorted(b for b, commit in commits.items() if commit.calibration_sha256 != found)
    problem = f"not what block {others[0]} was made with" if others else ""
    if found is None:
        problem = problem and f"missing, and {problem}"
    else:
        try:
            read_signed_json(path / CALIBRATION)
        except ValueError as error:
            problem = str(error)
    if problem:
        outcome = (
            "it computes the medians again and compares them with those of the blocks; if they "
            "differ, delete the whole store"
        )
        yield Fault(CALIBRATION, problem, outcome, () if found is None else (CALIBRATION,))


def _seal_faults(path: Path, config: StoreConfig, commits: Mapping[int, Commit]) -> Iterator[Fault]:
    """What the seal, if there is one, says about the commits; unusable ones are passed over."""
    if not (path / SEALED).exists():
        return
    try:
        seal = Seal.read(path, config)
    except ValueError as error:
        yield seal_fault(error)
        return
    sound = True
    for block, expected in enumerate(seal.commits_sha256):
        if not (path / commit_name(block)).exists():
            yield missing_commit(block)
        elif block in commits and commits[block].file_digest(path) != expected:
            yield block_fault(commit_name(block), "not the commit that was sealed", block)
        else:
            continue
        sound = False
    blocks = range(len(seal.commits_sha256))
    sealed = {block: commits[block] for block in blocks if block in commits}
    whole = sound and len(sealed) == len(blocks)
    if whole and seal.to_json() != Seal.of(path, config, sealed).to_json():
        yield seal_fault("its statistics are not those of the commits")


def _size_faults(path: Path, commits: Mapping[int, Commit]) -> Iterator[Fault]:
    for block, commit in commits.items():
        for name, sizes in commit.files.items():
            for file, size in sizes.items():
                try:
                    found = f"{(path / DATA / name / file).stat().st_size} bytes"
                except FileNotFoundError:
                    found = "missing"
                if found != f"{size} bytes":
                    problem = f"{found} where the commit of block {block} has {size} bytes"
                    yield block_fault(f"{DATA}/{name}/{file}", problem, block)


def _content_faults(
    path: Path,
    config: StoreConfig,
    commits: Mapping[int, Commit],
    skip: set[str],
    report: Report | None,
) -> list[Fault]:
    """What differs between every committed chunk and its commit; files in `skip` are not read."""
    faults: list[Fault] = []
    tasks, check = [], dask.delayed(_check_piece, traverse=False)
    for name in config.arrays:
        reader = PieceReader(path, config, name)
        sent = dask.delayed(reader, traverse=False)
        for block, commit in commits.items():
            for piece, expected in enumerate(commit.crc32c[name]):
                if reader.file(block, piece) not in skip:
                    size = commit.files[name][reader.file_name(block, piece)]
                    tasks.append(check(sent, block, piece, expected, size))
    for start in range(0, len(tasks), _TASKS):
        found = dask.compute(*tasks[start : start + _TASKS])
        faults += [fault for fault in found if fault is not None]
        if report is not None:
            report(min(start + _TASKS, len(tasks)), len(tasks))
    return faults


def _check_piece(
    reader: PieceReader, block: int, piece: int, expected: str, size: int
) -> Fault | None:
    try:
        reader.read(block, piece, expected, size)
    except ValueError as error:
        rows = reader.rows(block, piece)
        problem = f"rows {rows.start} to {rows.stop - 1}: {error}"
        return block_fault(reader.file(block, piece), problem, block)
    return None
