"""Checks of a store against its configuration, its commits and its seal.

Opening a store looks at what does not grow with its rows. `verify_store` looks at everything, with
one task per block, see `blocks`: a client of a dask cluster spreads a large store over its workers.
The tasks return faults, so that the first fault does not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from sagsae.activations.arrays import is_metadata, is_plain, metadata_files
from sagsae.activations.blocks import Report, each_block
from sagsae.activations.commits import Commit, block_fault, calibration_digest, read_commits
from sagsae.activations.errors import Fault, StoreFaultsError
from sagsae.activations.layout import CALIBRATION, DATA, SEALED, StoreConfig, commit_name
from sagsae.activations.pieces import MissingError, PieceReader
from sagsae.activations.seal import Seal, missing_commit, seal_fault
from sagsae.files import checked_json
from sagsae.storage import Location, SizeError, Storage, storage_at


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


def verify_store(
    where: Location, report: Report | None = None, *, trusted: int = 0
) -> Verification:
    """Check everything in a store, finished or not, reading every chunk once.

    One task reads one block, on the active client of `dask.distributed` or on threads. Chunks of a
    store of objects are read from their bucket, whatever this node has of them.

    Args:
        where: its folder or URL.
        report: called as blocks are checked.
        trusted: first blocks whose chunks are not read, since a seal says that they were verified.

    Raises:
        StoreError: there is no store.
        StorageError: its place cannot be reached.
    """
    storage = storage_at(where)
    sealed = storage.exists(SEALED)
    try:
        config = StoreConfig.read(storage)
    except StoreFaultsError as error:
        return Verification(faults=error.faults, sealed=sealed)
    commits, faults = read_commits(storage, config)
    faults += [
        *metadata_faults(storage, config),
        *calibration_faults(storage, commits),
        *_seal_faults(storage, config, commits),
    ]
    expected = [_Expected.of(commit, read=block >= trusted) for block, commit in commits.items()]
    for found in each_block(partial(_check_block, storage, config), expected, report):
        faults += found
    return Verification(
        faults=faults,
        sealed=sealed,
        commits=commits,
        chunks=sum(len(sums) for c in commits.values() for sums in c.crc32c.values()),
        size=sum(size for c in commits.values() for f in c.files.values() for size in f.values()),
    )


def metadata_faults(storage: Storage, config: StoreConfig) -> Iterator[Fault]:
    """Every zarr.json that is not what run.json makes it."""
    for file in metadata_files(config):
        if not is_metadata(storage, file, config):
            there = storage.exists(file)
            problem = "altered: not what run.json makes it" if there else "missing"
            yield Fault(file, problem, "it writes this file again")


def check_calibration(storage: Storage, config: StoreConfig) -> None:
    """Refuse to add blocks of other medians to those there are.

    Raises:
        StoreFaultsError: calibration.json is not the one that the blocks were made with.
    """
    commits, _ = read_commits(storage, config)
    if faults := list(calibration_faults(storage, commits)):
        raise StoreFaultsError(storage, faults)


def calibration_faults(storage: Storage, commits: Mapping[int, Commit]) -> Iterator[Fault]:
    """Whether calibration.json is sound, and the one that every block was made with."""
    found = calibration_digest(storage)
    others = sorted(b for b, commit in commits.items() if commit.calibration_sha256 != found)
    problem = f"not what block {others[0]} was made with" if others else ""
    if found is None:
        problem = problem and f"missing, and {problem}"
    else:
        try:
            checked_json(storage.read(CALIBRATION))
        except ValueError as error:
            problem = str(error)
    if problem:
        outcome = (
            "it computes the medians again and compares them with those of the blocks; if they "
            "differ, delete the whole store"
        )
        yield Fault(CALIBRATION, problem, outcome, () if found is None else (CALIBRATION,))


def _seal_faults(
    storage: Storage, config: StoreConfig, commits: Mapping[int, Commit]
) -> Iterator[Fault]:
    """What the seal, if there is one, says about the commits; unusable ones are passed over."""
    if not storage.exists(SEALED):
        return
    try:
        seal = Seal.read(storage, config)
    except ValueError as error:
        yield seal_fault(error)
        return
    sound = True
    for block, expected in enumerate(seal.commits_sha256):
        if block not in commits and not storage.exists(commit_name(block)):
            yield missing_commit(block)
        elif block in commits and commits[block].file_digest() != expected:
            yield block_fault(commit_name(block), "not the commit that was sealed", block)
        else:
            continue
        sound = False
    blocks = range(len(seal.commits_sha256))
    sealed = {block: commits[block] for block in blocks if block in commits}
    whole = sound and len(sealed) == len(blocks)
    if whole and seal.to_json() != Seal.of(config, sealed).to_json():
        yield seal_fault("its statistics are not those of the commits")


@dataclass(frozen=True)
class _Expected:
    """What a commit says of the files of its block, without its statistics."""

    block: int
    files: Mapping[str, Mapping[str, int]]
    crc32c: Mapping[str, list[str]]
    """Empty lists where the content is not to be read."""

    @classmethod
    def of(cls, commit: Commit, *, read: bool) -> _Expected:
        sums = commit.crc32c if read else {name: [] for name in commit.crc32c}
        return cls(commit.block, commit.files, sums)


def _check_block(storage: Storage, config: StoreConfig, expected: _Expected) -> list[Fault]:
    """What differs between the files of a block and its commit."""
    faults: dict[str, Fault] = {}
    block = expected.block
    for name in config.arrays:
        reader = PieceReader(storage, config, name)
        sizes = {f"{DATA}/{name}/{file}": size for file, size in expected.files[name].items()}
        if not (storage.remote and is_plain(config, name) and expected.crc32c[name]):
            for file, size in sizes.items():  # else the one request that reads it tells it, too
                if fault := _size_fault(storage, file, size, block):
                    faults[file] = fault
        for piece, checksum in enumerate(expected.crc32c[name]):
            if (file := reader.file(block, piece)) in faults:
                continue
            if fault := _piece_fault(reader, block, piece, checksum, sizes[file]):
                faults[file] = fault
    return list(faults.values())


def _size_fault(storage: Storage, file: str, size: int, block: int) -> Fault | None:
    try:
        found = storage.size(file)
    except FileNotFoundError:
        return _other_size(file, "missing", size, block)
    return None if found == size else _other_size(file, f"{found} bytes", size, block)


def _other_size(file: str, found: str, size: int, block: int) -> Fault:
    problem = f"{found} where the commit of block {block} has {size} bytes"
    return block_fault(file, problem, block)


def _piece_fault(
    reader: PieceReader, block: int, piece: int, expected: str, size: int
) -> Fault | None:
    file = reader.file(block, piece)
    try:
        reader.read(block, piece, expected, size)
    except SizeError as error:
        return _other_size(file, f"{error.found} bytes", size, block)
    except MissingError:
        return _other_size(file, "missing", size, block)
    except ValueError as error:
        rows = reader.rows(block, piece)
        return block_fault(file, f"rows {rows.start} to {rows.stop - 1}: {error}", block)
    return None
