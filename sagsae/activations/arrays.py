"""The Zarr arrays of a store, and rows as they are kept there."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import torch
import zarr
from torch import Tensor
from zarr.buffer.cpu import NDBuffer
from zarr.storage import LocalStore, StorePath

from sagsae.activations.layout import DATA, FORMAT, MISSING, TOKEN_ARRAYS, StoreConfig
from sagsae.files import canonical_json, fsync_path, whole_file, write_atomic


def create_arrays(path: Path, config: StoreConfig) -> None:
    """Write every zarr.json of the store that is missing or not what it has to be.

    An array with room for more blocks than the configuration has stays as it is.
    """
    for file, content in metadata_files(config).items():
        if not is_metadata(path, file, config):
            write_atomic(path / file, content)
    fsync_path(path / DATA)
    fsync_path(path)


def is_metadata(path: Path, file: str, config: StoreConfig) -> bool:
    """Whether a zarr.json is there, is of this store, and has room for its blocks or for more."""
    try:
        content = (path / file).read_bytes()
        rows, *_ = json.loads(content).get("shape", [0])
        blocks = max(config.n_blocks, rows // config.rows_per_block)
        return content == metadata_files(replace(config, n_blocks=blocks))[file]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return False


def metadata_files(config: StoreConfig) -> dict[str, bytes]:
    """Every zarr.json of a store, by its path in the store; those of tokens come last.

    They are written here and not by Zarr, because Zarr's spelling may change with its version. So
    a store's bytes follow from its configuration, and any change of one of these files shows.
    """
    attributes = {**config.provenance, "format": FORMAT, "run_sha256": config.digest()}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    documents: dict[str, Any] = {f"{DATA}/zarr.json": group}
    for name in config.arrays:
        documents[f"{DATA}/{name}/zarr.json"] = array_metadata(config, name)
    return {file: canonical_json(document) for file, document in documents.items()}


def array_metadata(config: StoreConfig, name: str) -> dict[str, Any]:
    """The Zarr v3 metadata of one array."""
    width = [config.hookpoints[name]] if name in config.hookpoints else []
    chunk, block = ([rows, *width] for rows in (config.piece_rows(name), config.rows_per_block))
    array_type = _array_type(config, name)
    codecs = _codecs(config, np.dtype(array_type["data_type"]).itemsize)
    sharded = config.sharded and name in config.hookpoints
    if sharded:
        shard = {"chunk_shape": chunk, "codecs": codecs, "index_location": "end"}
        shard["index_codecs"] = [_LITTLE_ENDIAN, _CRC32C]
        codecs = [{"name": "sharding_indexed", "configuration": shard}]
    grid = {"chunk_shape": block if sharded else chunk}
    one_width = len(set(config.hookpoints.values())) == 1
    features = ["feature" if one_width else f"feature_{d}" for d in width]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [config.n_rows, *width],
        "chunk_grid": {"name": "regular", "configuration": grid},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "codecs": codecs,
        "storage_transformers": [],
        "dimension_names": ["row", *features],
        **array_type,
    }


_LITTLE_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}
_SHUFFLE_ZSTD = {"cname": "zstd", "clevel": 1, "shuffle": "shuffle", "blocksize": 2**20}
"""Blosc's own choice, blocks of 32 KiB, leaves 78 % of the bytes instead of 70 %."""
_CRC32C = {"name": "crc32c"}
_CRC32C_BYTES = 4


def _codecs(config: StoreConfig, itemsize: int) -> list[dict[str, Any]]:
    blosc = {"name": "blosc", "configuration": {**_SHUFFLE_ZSTD, "typesize": itemsize}}
    compressors = [blosc] if config.profile == "disk" else []
    return [_LITTLE_ENDIAN, *compressors, _CRC32C]


def _array_type(config: StoreConfig, name: str) -> dict[str, Any]:
    if name in TOKEN_ARRAYS:
        return {"data_type": "int32", "fill_value": -1, "attributes": {}}
    attributes: dict[str, str] = {"logical_dtype": config.dtype}
    if config.dtype == "float32":
        return {"data_type": "float32", "fill_value": "NaN", "attributes": attributes}
    attributes["bit_view"] = "uint16"
    return {"data_type": "uint16", "fill_value": MISSING, "attributes": attributes}


def open_array(path: Path, config: StoreConfig, name: str, *, writable: bool = False) -> Any:
    """The `zarr.Array` that the configuration describes, whatever its zarr.json says.

    A writable one also stores chunks that hold nothing but fill.
    """
    where = StorePath(LocalStore(path / DATA, read_only=not writable), path=name)
    document: Any = array_metadata(config, name)
    return zarr.Array(
        zarr.AsyncArray(
            metadata=document, store_path=where, config={"write_empty_chunks": writable}
        )
    )


def is_plain(config: StoreConfig, name: str) -> bool:
    """Whether a file of an array holds its rows as they are in memory, then their crc32c."""
    sharded = config.sharded and name in config.hookpoints
    return config.profile == "plain" and not sharded and sys.byteorder == "little"


def write_plain(file: Path, rows: np.ndarray, checksum: str) -> None:
    """Write the file of an uncompressed chunk, whole but not flushed.

    Zarr writes the same bytes, in one thread for all threads that ask it to, and computes the
    checksum by itself.
    """
    with whole_file(file, flush=False) as partial, partial.open("wb") as stream:
        stream.write(rows.data.cast("B"))
        stream.write(bytes.fromhex(checksum)[::-1])


class PieceReader:
    """Reads the pieces of one array that have a checksum of their own: R rows, of tokens S rows.

    A plain file, see `is_plain`, is read straight into the caller's memory, and its checksum is
    computed once. That is several times as fast as through Zarr, which hands each chunk from thread
    to thread and copies it twice. Zarr reads everything else.

    Args:
        path: the store's folder.
        config: of the store.
        name: of the array.
    """

    def __init__(self, path: Path, config: StoreConfig, name: str) -> None:
        self._path, self._config, self.name = path, config, name
        self._array = open_array(path, config, name)
        self._plain = is_plain(config, name)

    def file(self, block: int, piece: int) -> str:
        """The file of piece `piece` of a block, relative to the store."""
        return f"{DATA}/{self.name}/{self.file_name(block, piece)}"

    def file_name(self, block: int, piece: int) -> str:
        """The same file, relative to the array."""
        files = self._config.block_files(self.name, block)
        return files[piece if len(files) > 1 else 0]

    def rows(self, block: int, piece: int) -> slice:
        """The rows of the array that the piece holds."""
        size = self._config.piece_rows(self.name)
        first = block * self._config.rows_per_block + piece * size
        return slice(first, first + size)

    def read(
        self, block: int, piece: int, expected: str, size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The piece as it is stored, after a check of its content and of its file's size.

        Args:
            block: index of a block.
            piece: which of its pieces.
            expected: the checksum in the block's commit.
            size: bytes of its file in the block's commit.
            out: contiguous memory of the piece's shape and dtype; a new array without it.

        Raises:
            ValueError: the piece is missing, torn or altered.
        """
        if out is None:
            shape = (self._config.piece_rows(self.name), *self._array.shape[1:])
            out = np.empty(shape, self._array.dtype)
        file, found = self._path / self.file(block, piece), ""
        try:
            if (actual := file.stat().st_size) != size:
                raise ValueError(f"its file has {actual} bytes and its commit says {size}")
            found = _read_plain(file, out) if self._plain else self._decode(block, piece, out)
        except FileNotFoundError:
            raise ValueError("is missing") from None
        except Exception as error:  # codecs raise many kinds; each means an unusable chunk
            raise ValueError(f"cannot be read ({error})") from error
        if found != expected:
            raise ValueError(f"does not hold what was committed (crc32c {found}, not {expected})")
        return out

    def _decode(self, block: int, piece: int, out: np.ndarray) -> str:
        buffer = NDBuffer.from_numpy_array(out)
        self._array.get_basic_selection(self.rows(block, piece), out=buffer)
        return crc32c(out)


def _read_plain(file: Path, out: np.ndarray) -> str:
    """Fill `out` from an uncompressed chunk's file and return the checksum."""
    with file.open("rb") as stream:
        found = stream.readinto(out.data.cast("B"))
        trailer = stream.read(_CRC32C_BYTES + 1)  # one more than there is
    if found != out.nbytes or len(trailer) != _CRC32C_BYTES:
        raise ValueError(f"the file does not have {out.nbytes + _CRC32C_BYTES} bytes")
    checksum = crc32c(out)
    if trailer != bytes.fromhex(checksum)[::-1]:
        raise ValueError(f"crc32c of its content is {checksum}, not {trailer[::-1].hex()}")
    return checksum


def stored_rows(x: Tensor, dtype: str) -> np.ndarray:
    """Rows as they go to disk: bfloat16 bits in uint16, or float32. No copy if none is needed."""
    x = x.detach().to("cpu", getattr(torch, dtype)).contiguous()
    return x.view(torch.uint16).numpy() if dtype == "bfloat16" else x.numpy()


def as_float32(rows: np.ndarray) -> np.ndarray:
    """Stored rows as float32."""
    return as_tensor(rows).float().numpy()


def as_tensor(rows: np.ndarray) -> Tensor:
    """Stored rows as a bfloat16 or float32 tensor on the same memory."""
    tensor = torch.from_numpy(rows)
    return tensor.view(torch.bfloat16) if rows.dtype == np.uint16 else tensor


def crc32c(rows: np.ndarray) -> str:
    """Checksum of an array's little-endian content, eight hexadecimal digits."""
    rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
    return f"{google_crc32c.value(rows.reshape(-1).view(np.uint8)):08x}"
