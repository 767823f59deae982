"""Commit files: what one block holds, and the moments that merge into those of a store.

Float64 vectors are base64 of their little-endian bytes: exact, and half the size of decimals.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch

from sagsae.activations.arrays import as_tensor
from sagsae.activations.layout import CALIBRATION, SEALED, StoreConfig, StoreError, commit_name
from sagsae.activations.storage import Storage
from sagsae.files import checked_json, digest, signed_json

# Rows that are summed at once; the last digits of a sum depend on it.
STATISTICS_ROWS = 1024
# To a bucket, at the same time.
REQUESTS = 16
# Few enough for a processor's cache, and fewer than PyTorch spreads over threads of its own.
_VALUES_AT_ONCE = 32_767


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mergeable sums over rows x [d], accumulated in float64 from the stored values, in the model's
    own units."""

    count: int
    sum: np.ndarray
    """[d] float64."""
    sum_of_squares: float
    """Sum of |x|^2."""
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

    @property
    def mean(self) -> np.ndarray:
        """[d] float64."""
        return self.sum / self.count

    @property
    def scale(self) -> float:
        """1 / sqrt(mean |x|^2): multiplies activations to unit mean square norm."""
        mean_square = self.sum_of_squares / self.count
        return 1 / math.sqrt(mean_square) if mean_square > 0 else math.inf

    @property
    def mean_norm(self) -> float:
        """Mean of |x|."""
        return self.norm_sum / self.count

    def to_json(self) -> dict[str, Any]:
        """JSON form, exact."""
        bits = np.ascontiguousarray(self.sum, "<f8").tobytes()
        return {**asdict(self), "sum": base64.b64encode(bits).decode()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        bits = base64.b64decode(value["sum"])
        return cls(**{**value, "sum": np.frombuffer(bits, "<f8").copy()})


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
    sha256: str = ""
    """Digest of the file that it was read from."""

    def to_bytes(self) -> bytes:
        """The content of the commit file."""
        content = {**vars(self)}
        del content["moments"], content["sha256"]
        moments = {name: value.to_json() for name, value in self.moments.items()}
        return signed_json({**content, "statistics": moments})

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The inverse of `to_bytes`; ValueError, KeyError or TypeError where it is damaged."""
        value = checked_json(content)
        moments = {name: Moments.from_json(m) for name, m in value.pop("statistics").items()}
        return cls(**value, moments=moments, sha256=digest(content))


def read_commits(storage: Storage, config: StoreConfig, blocks: Iterable[int]) -> dict[int, Commit]:
    """The commits of some blocks by number, each checked.

    Raises:
        StoreError: one is missing or damaged, or was written for another configuration or with
            another calibration.
    """
    calibration, run = calibration_digest(storage), config.digest()

    def read(block: int) -> Commit:
        try:
            commit = Commit.from_bytes(storage.read(commit_name(block)))
            if (commit.block, commit.run_sha256) != (block, run):
                raise ValueError("it belongs to another block or configuration")
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{storage}/{commit_name(block)}: {error}; {remedy(block)}") from error
        if commit.calibration_sha256 != calibration:
            raise StoreError(
                f"{storage}/{CALIBRATION}: missing, or not what {commit_name(block)} was made "
                "with; delete it and dump again, which computes it; if that does not help, delete "
                "the store"
            )
        return commit

    with ThreadPoolExecutor(REQUESTS if storage.remote else 1) as threads:
        return {commit.block: commit for commit in threads.map(read, blocks)}


def remedy(block: int) -> str:
    """What makes one block again."""
    return (
        f"delete {commit_name(block)} and {SEALED} of the store and dump again, which makes block "
        f"{block} anew"
    )


def calibration_digest(storage: Storage) -> str | None:
    """sha256 of a store's calibration.json; None where there is none."""
    try:
        return digest(storage.read(CALIBRATION))
    except FileNotFoundError:
        return None


def read_seal(storage: Storage, config: StoreConfig) -> list[str]:
    """sha256 of the commit of each block that was verified and sealed; empty without a seal.

    Raises:
        StoreError: the seal is damaged or of another configuration.
    """
    try:
        seal = checked_json(storage.read(SEALED))
        if seal["run_sha256"] != config.digest():
            raise ValueError("made for another run.json")
        return list(seal["commits_sha256"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{storage}/{SEALED}: {error}; delete this file and dump again, which verifies every "
            "block"
        ) from error


def write_seal(storage: Storage, config: StoreConfig, commits: Mapping[int, Commit]) -> None:
    """Seal the blocks 0, 1, ... of a store."""
    seal = {
        "n_rows": len(commits) * config.rows_per_block,
        "run_sha256": config.digest(),
        "commits_sha256": [commits[block].sha256 for block in sorted(commits)],
    }
    storage.write(SEALED, signed_json(seal))
