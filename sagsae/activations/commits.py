"""Commit files: what one block holds, and the statistics that merge into those of a store.

Float64 vectors are base64 of their little-endian bytes: exact, and half the size of decimals.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any, Self

import numpy as np
import torch

from sagsae.activations.arrays import as_tensor
from sagsae.activations.errors import Fault, StoreError
from sagsae.activations.layout import CALIBRATION, SEALED, StoreConfig, commit_files, commit_name
from sagsae.files import checked_json, digest, signed_json
from sagsae.storage import Storage

STATISTICS_ROWS = 1024
"""Rows that are summed at once; the last digits of a sum depend on it."""
_VALUES_AT_ONCE = 32_767
"""Few enough for a processor's cache, and fewer than PyTorch spreads over threads of its own."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mergeable sums over rows x [d], accumulated in float64 from the stored values."""

    count: int
    sum: np.ndarray
    """[d] float64."""
    sum_of_squares: float
    """Of |x|^2."""
    norm_sum: float
    max_norm: float
    non_finite: int

    @classmethod
    def merged(cls, parts: Iterable[Moments]) -> Self:
        """Moments of all rows of `parts`, in their order."""
        parts = list(parts)
        return cls(
            count=sum(part.count for part in parts),
            sum=np.sum([part.sum for part in parts], axis=0),
            sum_of_squares=math.fsum(part.sum_of_squares for part in parts),
            norm_sum=math.fsum(part.norm_sum for part in parts),
            max_norm=max(part.max_norm for part in parts),
            non_finite=sum(part.non_finite for part in parts),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form, exact."""
        return {**asdict(self), "sum": encode_vector(self.sum)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**value, "sum": decode_vector(value["sum"])})


class RunningMoments:
    """Moments of rows that come in parts.

    Args:
        width: d of the rows.
    """

    def __init__(self, width: int) -> None:
        self._sum, self._squares = np.zeros(width), list[np.ndarray]()
        self._step = max(1, _VALUES_AT_ONCE // width)
        self._values = torch.empty(1 + self._step, width, dtype=torch.float64)

    def add(self, rows: np.ndarray) -> np.ndarray:
        """Add a part.

        Args:
            rows: [n, d] as stored: float32, or bfloat16 bits in uint16. n is a multiple of
                `STATISTICS_ROWS`, but for the last part.

        Returns:
            [n] float64, |x|^2 of each row; not finite where the row is not.
        """
        squared, filled = np.empty(len(rows)), 0
        values, wide = self._values, self._values.numpy()
        for part in as_tensor(rows).split(STATISTICS_ROWS):
            wide[0] = 0.0  # the sum of this part so far: rows are added one after the other
            for few in part.split(self._step):
                end = 1 + len(few)
                values[1:end].copy_(few)
                here = squared[filled : filled + len(few)]
                np.einsum("nd,nd->n", wide[1:end], wide[1:end], out=here)
                wide[0] = wide[:end].sum(axis=0)
                filled += len(few)
            self._sum += wide[0]
        self._squares.append(squared)
        return squared

    def total(self) -> Moments:
        """Moments of all rows that were added."""
        squared = np.concatenate(self._squares)
        norms = np.sqrt(squared)
        return Moments(
            count=len(squared),
            sum=self._sum,
            sum_of_squares=float(squared.sum()),
            norm_sum=float(norms.sum()),
            max_norm=float(norms.max()),
            non_finite=int(np.count_nonzero(~np.isfinite(squared))),
        )


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Of one hookpoint over all rows of a store, in the model's own units."""

    count: int
    mean: np.ndarray
    """[d] float64."""
    mean_square: float
    """mean |x|^2."""
    scale: float
    """1 / sqrt(mean |x|^2): multiplies activations to unit mean square norm."""
    mean_norm: float
    max_norm: float

    @classmethod
    def of(cls, moments: Moments) -> Self:
        """Statistics from merged moments."""
        mean_square = moments.sum_of_squares / moments.count
        return cls(
            count=moments.count,
            mean=moments.sum / moments.count,
            mean_square=mean_square,
            scale=1 / math.sqrt(mean_square) if mean_square > 0 else math.inf,
            mean_norm=moments.norm_sum / moments.count,
            max_norm=moments.max_norm,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form, exact; a scale without meaning (all rows zero) is null."""
        scale = self.scale if math.isfinite(self.scale) else None
        return {**asdict(self), "mean": encode_vector(self.mean), "scale": scale}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        scale = math.inf if value["scale"] is None else value["scale"]
        found = cls(**{**value, "mean": decode_vector(value["mean"]), "scale": scale})
        numbers = (found.mean_square, found.scale, found.mean_norm, found.max_norm)
        if not all(isinstance(number, float) for number in numbers):
            raise TypeError(f"statistics are {numbers}")
        return found


def encode_vector(vector: np.ndarray) -> str:
    """Base64 of a vector's little-endian float64 bytes."""
    return base64.b64encode(np.ascontiguousarray(vector, "<f8").tobytes()).decode()


def decode_vector(text: str) -> np.ndarray:
    """The [d] float64 vector of `encode_vector`."""
    return np.frombuffer(base64.b64decode(text), "<f8").copy()


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A finished block.

    `run_sha256` is `StoreConfig.digest`, `calibration_sha256` that of calibration.json, or None
    where there is none: blocks of different medians do not belong together. `files` has the size
    in bytes of each file of each array. `crc32c` has the checksum of each piece of logical content
    (R rows of a hookpoint, S of a token array, as little-endian bytes before compression). It is
    not that of the file: a file that ends in its own crc32c has the same crc32c whatever it holds.
    """

    block: int
    run_sha256: str
    calibration_sha256: str | None
    files: Mapping[str, Mapping[str, int]]
    crc32c: Mapping[str, list[str]]
    moments: Mapping[str, Moments]
    cursor: Mapping[str, Any]
    dropped: Mapping[str, int]

    def write(self, storage: Storage) -> None:
        """Write the commit file of this block, by the conditional put of the store's place.

        Raises:
            StoreError: another writer has committed this block with another content.
        """
        if not storage.create(commit_name(self.block), self.to_bytes()):
            raise StoreError(
                f"{storage}: another process has committed block {self.block} with other rows "
                "while this one made it; run the same command again: the end of a dump verifies "
                "every chunk and says what to delete"
            )

    def to_bytes(self) -> bytes:
        """The content of the commit file."""
        return signed_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The content of the commit file without its digest."""
        moments = {name: value.to_json() for name, value in self.moments.items()}
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "moments"}
        return {**content, "statistics": moments}

    def file_digest(self) -> str:
        """sha256 of the commit file, as the seal records it."""
        return digest(self.to_bytes())

    @classmethod
    def read(cls, storage: Storage, config: StoreConfig, block: int) -> Self:
        """Read and check a commit.

        Raises:
            ValueError: edited, damaged, or not of this block and configuration.
        """
        content = checked_json(storage.read(commit_name(block)))
        value = content.copy()
        try:
            moments = {name: Moments.from_json(m) for name, m in value.pop("statistics").items()}
            commit = cls(moments=moments, **value)
            found = {name: set(sizes) for name, sizes in commit.files.items()}
            commit._check_values(config)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"missing or unknown keys ({error})") from error
        files = {name: set(config.block_files(name, block)) for name in config.arrays}
        if (block, config.digest(), files) != (commit.block, commit.run_sha256, found):
            raise ValueError("it belongs to another block or configuration")
        if commit.to_json() != content:  # digests are taken of the values
            raise ValueError("edited: its values are not spelled as a dump does")
        return commit

    def _check_values(self, config: StoreConfig) -> None:
        """Raise ValueError, or what comes of a value of another type, if a reader would fail."""
        for name in config.arrays:
            pieces = config.rows_per_block // config.piece_rows(name)
            if len(self.crc32c[name]) != pieces:
                raise ValueError(f"{len(self.crc32c[name])} checksums of {name}, not {pieces}")
        for name, d in config.hookpoints.items():
            found = self.moments[name]
            Statistics.of(Moments.merged([found, found]))
            if found.sum.shape != (d,):
                raise ValueError(f"sums of {name} are {found.sum.shape}, not ({d},)")
        if not all(isinstance(count, int) for count in self.dropped.values()):
            raise ValueError(f"counts of dropped tokens are {dict(self.dropped)}")


def committed_blocks(storage: Storage) -> list[int]:
    """Blocks that have a commit file, in order."""
    files = set(commit_files(storage))
    stems = (PurePosixPath(file).stem for file in files)
    blocks = {int(stem) for stem in stems if stem.isdecimal()}
    return sorted(block for block in blocks if commit_name(block) in files)


def read_commits(storage: Storage, config: StoreConfig) -> tuple[dict[int, Commit], list[Fault]]:
    """All commits of a store by block, and a fault for each that cannot be used."""
    commits, faults = {}, []
    for block in committed_blocks(storage):
        name = commit_name(block)
        if block >= config.n_blocks:
            problem, outcome = f"the store has {config.n_blocks} blocks", "it needs no such block"
            faults.append(Fault(name, problem, outcome, (name,)))
            continue
        try:
            commits[block] = Commit.read(storage, config, block)
        except ValueError as error:
            faults.append(block_fault(name, error, block))
    return commits, faults


def calibration_digest(storage: Storage) -> str | None:
    """sha256 of a store's calibration.json; None where there is none."""
    try:
        return digest(storage.read(CALIBRATION))
    except FileNotFoundError:
        return None


def block_fault(file: str, problem: object, block: int) -> Fault:
    """A fault that rewriting one block cures."""
    outcome = f"it rewrites block {block} only"
    return Fault(file, str(problem), outcome, (commit_name(block), SEALED))
