"""The Zarr arrays of a store, and rows as they are kept there."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import crc32c
import numpy as np
import torch
import zarr
from torch import Tensor
from zarr.storage import StorePath

from sagsae.activations.layout import (
    CHANNEL,
    DATA,
    FORMAT,
    MISSING,
    MISSING_INT8,
    TOKEN_ARRAYS,
    StoreConfig,
    channel_of,
    committed_blocks,
    scale_of,
)
from sagsae.activations.storage import Storage
from sagsae.files import canonical_json


def write_metadata(storage: Storage, config: StoreConfig) -> None:
    """Write every zarr.json that is missing or not what it has to be, with room for all blocks."""
    blocks = max([config.n_blocks, *(block + 1 for block in committed_blocks(storage))])
    for file, content in metadata_files(replace(config, n_blocks=blocks)).items():
        if not storage.exists(file) or storage.read(file) != content:
            storage.write(file, content)
    storage.settle([DATA, ""])


def is_metadata(storage: Storage, config: StoreConfig, file: str) -> bool:
    """Whether a zarr.json is what run.json makes it, with room for the blocks or for more."""
    try:
        content = storage.read(file)
        rows, *_ = json.loads(content).get("shape", [0])
        blocks = max(config.n_blocks, rows // config.block_rows(file.split("/")[-2]))
        return content == metadata_files(replace(config, n_blocks=blocks))[file]
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
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
    width, size = config.width(name), config.block_rows(name)
    chunk, block = [config.piece_rows(name), *width], [size, *width]
    array_type = _array_type(config, name)
    codecs = _codecs(config, np.dtype(array_type["data_type"]).itemsize)
    sharded = config.sharded and config.in_chunks(name)
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
        "shape": [config.n_blocks * size, *width],
        "chunk_grid": {"name": "regular", "configuration": grid},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "codecs": codecs,
        "storage_transformers": [],
        "dimension_names": ["block" if name.endswith(CHANNEL) else "row", *features],
        **array_type,
    }


_LITTLE_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}
# Blosc's own choice, blocks of 32 KiB, leaves 78 % of the bytes instead of 70 %.
_SHUFFLE_ZSTD = {"cname": "zstd", "clevel": 1, "shuffle": "shuffle", "blocksize": 2**20}
_CRC32C = {"name": "crc32c"}


def _codecs(config: StoreConfig, itemsize: int) -> list[dict[str, Any]]:
    blosc = {"name": "blosc", "configuration": {**_SHUFFLE_ZSTD, "typesize": itemsize}}
    compressors = [blosc] if config.profile == "disk" else []
    return [_LITTLE_ENDIAN, *compressors, _CRC32C]


def _array_type(config: StoreConfig, name: str) -> dict[str, Any]:
    if name in TOKEN_ARRAYS:
        return {"data_type": "int32", "fill_value": -1, "attributes": {}}
    if name not in config.hookpoints:
        kind = "float32" if config.width(name) else "float16"
        return {"data_type": kind, "fill_value": "NaN", "attributes": {}}
    attributes: dict[str, str] = {"logical_dtype": config.dtype}
    if config.int8:
        attributes |= {"scale": scale_of(name), "channel": channel_of(name)}
        return {"data_type": "int8", "fill_value": MISSING_INT8, "attributes": attributes}
    if config.dtype == "float32":
        return {"data_type": "float32", "fill_value": "NaN", "attributes": attributes}
    attributes["bit_view"] = "uint16"
    return {"data_type": "uint16", "fill_value": MISSING, "attributes": attributes}


def open_array(storage: Storage, config: StoreConfig, name: str, *, writable: bool = False) -> Any:
    """The `zarr.Array` that the configuration describes, whatever its zarr.json says.

    A writable one also stores chunks that hold nothing but fill.
    """
    where = StorePath(storage.zarr_store(DATA, read_only=not writable), path=name)
    document: Any = array_metadata(config, name)
    return zarr.Array(
        zarr.AsyncArray(
            metadata=document, store_path=where, config={"write_empty_chunks": writable}
        )
    )


def is_plain(storage: Storage, config: StoreConfig, name: str) -> bool:
    """Whether a file of an array on disk holds its rows as they are in memory, then their crc32c.

    Such a file is read and written without Zarr, which hands each chunk from thread to thread and
    copies it twice. The bytes are the same.
    """
    sharded = config.sharded and config.in_chunks(name)
    raw = config.profile == "plain" and not sharded and sys.byteorder == "little"
    return raw and not storage.remote


def stored_rows(x: Tensor, dtype: str) -> np.ndarray:
    """Rows as they go to disk: bfloat16 bits in uint16, or float32. No copy if none is needed."""
    x = x.detach().to("cpu", getattr(torch, dtype)).contiguous()
    return x.view(torch.uint16).numpy() if dtype == "bfloat16" else x.numpy()


def channel_sizes(rows: np.ndarray, source: np.ndarray) -> np.ndarray:
    """[1, d] float32, the root mean square of each channel over some rows; 1 where that is 0.

    A few channels are far larger than others, and with one scale a row take all of its 255 steps.

    Args:
        rows: [n, d] bits of bfloat16.
        source: [m] integers, the rows that count.
    """
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for start in range(0, len(source), 1024):
        part = as_tensor(rows[source[start : start + 1024]]).double()
        total += part.nan_to_num(0.0, 0.0, 0.0).square().sum(0)
    sizes = (total / len(source)).sqrt().float()
    return sizes.masked_fill(sizes == 0, 1.0)[None].numpy()


def quantised(rows: np.ndarray, channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows as int8, and the scale of each row.

    Args:
        rows: [n, d] bits of bfloat16.
        channel: [1, d] float32, the unit of each channel, see `channel_sizes`.

    Returns:
        [n, d] int8 from -127 to 127, and [n] float16, the largest value of the row over 127; NaN or
        infinite where the row is.
    """
    x = as_tensor(rows).float() / torch.from_numpy(channel)
    scale = (x.abs().amax(1) / 127).half()
    units = x / scale.float().clamp_min(torch.finfo(torch.float16).tiny * 2**-10)[:, None]
    return units.nan_to_num().round().clamp(-127, 127).to(torch.int8).numpy(), scale.numpy()


def restored(
    rows: np.ndarray, scale: np.ndarray, channel: np.ndarray, out: np.ndarray
) -> np.ndarray:
    """The bits of bfloat16 [n, d] of int8 rows, in ``out``, see `quantised`."""
    factors = torch.from_numpy(scale).float()[:, None] * torch.from_numpy(channel)
    as_tensor(out).copy_(torch.from_numpy(rows).float() * factors)
    return out


def as_tensor(rows: np.ndarray) -> Tensor:
    """Stored rows as a bfloat16 or float32 tensor on the same memory."""
    tensor = torch.from_numpy(rows)
    return tensor.view(torch.bfloat16) if rows.dtype == np.uint16 else tensor


def checksum(rows: np.ndarray) -> str:
    """crc32c of an array's little-endian content, eight hexadecimal digits.

    Other threads of the interpreter run meanwhile.
    """
    rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
    return f"{crc32c.crc32c(rows.reshape(-1).view(np.uint8)):08x}"
