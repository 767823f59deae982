"""What an activation store looks like on disk.

    <root>/<name>-<hash8>/
      run.json              the configuration; its digest gives the hash in the name
      calibration.json      median norms behind the drop rule, when the dumper made the store
      features.safetensors  what the rows are made of, where that is known
      data.zarr/            a Zarr v3 group that any Zarr reader opens
        <hookpoint>         [n_rows, d], bfloat16 as its bits in uint16, or float32, or int8
        <hookpoint>.scale   [n_rows] float16, of int8 alone: what a row is multiplied by
        <hookpoint>.channel [n_blocks, d] float32, of int8 alone: what the rows of a block are
                            multiplied by as well, channel by channel
        token_id, doc_id, position      [n_rows] int32, where each row came from
      commits/000000.json   one for every finished block
      SEALED.json           written last, after every chunk was verified; again when it has grown

The JSON files are signed, see `read_signed_json`; every zarr.json follows from run.json and the
number of blocks. Rows come in blocks of S rows, the unit of shuffling and of commit, and blocks in
chunks of R rows, the unit of reading.

A store grows: the number of blocks is not part of its configuration. Block b is the same whatever
the number, so the first rows of a store are, bit for bit, a store of just that size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from sagsae.activations.storage import Location, Storage, storage_at
from sagsae.files import MAX_FILES, LockedError, canonical_json, checked_json, digest

FORMAT = "sagsae-activations-3"
TOKEN_ARRAYS = ("token_id", "doc_id", "position")
RUN, CALIBRATION, SEALED = "run.json", "calibration.json", "SEALED.json"
FEATURES = "features.safetensors"
COMMITS, DATA, LOCK = "commits", "data.zarr", ".lock"
# End the names of the arrays beside a hookpoint's int8 rows.
SCALE, CHANNEL = ".scale", ".channel"
# Bits of absent rows: a bfloat16 NaN, which no written row can hold.
MISSING = 0xFFFF
# Of absent int8 rows; written ones go from -127 to 127.
MISSING_INT8 = -128


class StoreError(RuntimeError):
    """An activation store cannot be used or written as asked; the message says what to do."""


class StoreLockedError(StoreError, LockedError):
    """Another process is writing to the store."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How rows are laid out in a store, and where they came from."""

    rows_per_chunk: int
    """R, the unit of reading. Aim at 8 MiB per chunk; 1024 rows suit small stores."""
    rows_per_block: int
    """S, a multiple of R: the unit of shuffling and of commit. 2^18 rows suit large stores, 8192
    small ones: a shuffle needs many blocks to mix."""
    n_blocks: int = field(compare=False)
    """Blocks that there are to be. Not in run.json: a store may be given more later."""
    seed: int
    """Seed of the permutation inside every block."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """What rows are read as."""
    int8: bool = False
    """Keep rows as int8 in half the bytes, each with a scale, in units of the root mean square that
    a channel has in the block. What is read are bfloat16 rows; of the row's largest value in these
    units each value is off by half a percent at most."""
    profile: Literal["plain", "disk"] = "plain"
    """`disk` compresses (byte shuffle, zstd level 1): 30 % smaller, slower to write and to read."""
    sharded: bool = False
    """Whether a block of a hookpoint is one shard file, instead of one file per chunk. For stores
    of more than `MAX_FILES` chunks per hookpoint."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that name model, text, drop rules and versions."""


@dataclass(frozen=True, kw_only=True)
class StoreConfig(Layout):
    """Everything that decides what a store holds. Equal configurations share one store."""

    hookpoints: Mapping[str, int]
    """Width d of every hookpoint."""

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(f"store configuration: {problem}")
        object.__setattr__(self, "hookpoints", dict(sorted(self.hookpoints.items())))
        object.__setattr__(self, "provenance", json.loads(canonical_json(dict(self.provenance))))

    def _problems(self) -> Iterator[str]:
        if not self.hookpoints:
            yield "no hookpoints"
        for name, width in self.hookpoints.items():
            reserved = name in TOKEN_ARRAYS or name.endswith((SCALE, CHANNEL))
            if reserved or not re.fullmatch(r"(l[0-9]+\.)?[A-Za-z0-9_-]+", name):
                yield (
                    f"hookpoint name {name!r}: use letters, digits, _ or -, of layer 5 behind "
                    f"'l5.', not {TOKEN_ARRAYS}, and not l5{SCALE} or l5{CHANNEL}"
                )
            if width < 1:
                yield f"hookpoint {name!r} has width {width}"
        chunk, block = self.rows_per_chunk, self.rows_per_block
        if min(chunk, block, self.n_blocks) < 1 or self.seed < 0:
            yield "rows_per_chunk, rows_per_block and n_blocks must be positive, seed not negative"
        elif block % chunk:
            yield f"rows_per_block {block} is not a multiple of rows_per_chunk {chunk}"
        elif not self.sharded and (n := self.n_blocks * self.chunks_per_block) > MAX_FILES:
            yield f"{n} chunks per hookpoint are more than {MAX_FILES} files: set sharded"
        if self.int8 and self.dtype != "bfloat16":
            yield f"int8 rows are read as bfloat16, not as {self.dtype}"
        if self.dtype not in ("bfloat16", "float32"):
            yield f"dtype {self.dtype!r} is neither 'bfloat16' nor 'float32'"
        if self.profile not in ("plain", "disk"):
            yield f"profile {self.profile!r} is neither 'plain' nor 'disk'"

    @property
    def n_rows(self) -> int:
        """Rows of all blocks."""
        return self.n_blocks * self.rows_per_block

    @property
    def chunks_per_block(self) -> int:
        """Chunks of one hookpoint in one block."""
        return self.rows_per_block // self.rows_per_chunk

    @property
    def arrays(self) -> tuple[str, ...]:
        """Every array of the store, hookpoints first."""
        names = self.hookpoints if self.int8 else ()
        beside = (array for name in names for array in (scale_of(name), channel_of(name)))
        return (*self.hookpoints, *beside, *TOKEN_ARRAYS)

    def block_rows(self, array: str) -> int:
        """Rows of an array in one block."""
        return 1 if array.endswith(CHANNEL) else self.rows_per_block

    def piece_rows(self, array: str) -> int:
        """Rows of the smallest piece of an array that carries its own checksum."""
        return self.rows_per_chunk if self.in_chunks(array) else self.block_rows(array)

    def in_chunks(self, array: str) -> bool:
        """Whether a block of an array is made of chunks, which may lie in one shard."""
        return array not in TOKEN_ARRAYS and not array.endswith(CHANNEL)

    def width(self, array: str) -> list[int]:
        """Shape of a row of an array: [d], or [] where a row is one number."""
        name = array.removesuffix(CHANNEL)
        return [self.hookpoints[name]] if name in self.hookpoints else []

    def block_files(self, array: str, block: int) -> list[str]:
        """Names, inside the array's folder, of the files that hold one block of an array."""
        end = ".0" * len(self.width(array))
        if self.sharded or not self.in_chunks(array):
            return [f"c.{block}{end}"]
        first = block * self.chunks_per_block
        return [f"c.{first + i}{end}" for i in range(self.chunks_per_block)]

    def to_json(self) -> dict[str, Any]:
        """The content of run.json."""
        names = (f.name for f in fields(self) if f.compare and (f.name != "int8" or self.int8))
        return {"format": FORMAT, **{name: getattr(self, name) for name in names}}

    @classmethod
    def read(cls, where: Location) -> Self:
        """The configuration of the store at a place, up to the last block that is committed.

        Raises:
            StoreError: there is no store, it is of another version, or its run.json is damaged.
        """
        storage = storage_at(where)
        try:
            value = checked_json(storage.read(RUN))
            if (found := value.pop("format", None)) != FORMAT:
                raise StoreError(
                    f"{storage} is an activation store of layout {found!r} and this version reads "
                    f"{FORMAT!r}: delete it and dump the store again"
                )
            return cls(**value, n_blocks=max([0, *committed_blocks(storage)]) + 1)
        except FileNotFoundError:
            raise StoreError(f"no activation store at {storage} ({RUN} is missing)") from None
        except (ValueError, TypeError, LookupError) as error:
            raise StoreError(
                f"{storage}/{RUN}: {error}; delete this file and dump again: blocks that belong to "
                "the configuration are kept"
            ) from error

    def digest(self) -> str:
        """sha256 of `to_json`, which run.json carries as the digest of its content."""
        return digest(canonical_json(self.to_json()))


def scale_of(hookpoint: str) -> str:
    """Name of the array with the scales of a hookpoint's int8 rows."""
    return hookpoint + SCALE


def channel_of(hookpoint: str) -> str:
    """Name of the array with the units of a hookpoint's channels."""
    return hookpoint + CHANNEL


def committed_blocks(storage: Storage) -> list[int]:
    """Blocks that have a commit file, in order."""
    stems = (name.removesuffix(".json") for name in storage.names(COMMITS) if ".json" in name)
    return sorted(int(stem) for stem in stems if re.fullmatch("[0-9]{6,}", stem))


Root = TypeVar("Root", Path, Storage)


def store_path(root: Root, name: str, config: StoreConfig) -> Root:
    """`<root>/<name>-<hash8>`: equal configurations meet in one place, others never do."""
    return root / f"{name}-{config.digest()[:8]}"


def commit_name(block: int) -> str:
    """The commit file of a block, relative to the store."""
    return f"{COMMITS}/{block:06d}.json"
