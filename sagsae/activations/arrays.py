"""The Zarr arrays of a store, and rows as they are kept there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import torch
import zarr
from torch import Tensor
from zarr.codecs import Crc32cCodec, ZstdCodec

from sagsae.activations.layout import (
    DATA,
    MISSING,
    TOKEN_ARRAYS,
    StoreConfig,
    array_names,
    rows_per_read,
)


def create_arrays(path: Path, config: StoreConfig) -> None:
    """Create the Zarr group and those of its arrays that do not exist yet."""
    store = str(path / DATA)
    if not (path / DATA / "zarr.json").exists():
        zarr.create_group(store, zarr_format=3)
    compressors = (ZstdCodec(level=1),) if config.profile == "disk" else ()
    for name in array_names(config):
        if (path / DATA / name / "zarr.json").exists():
            continue
        width = (config.hookpoints[name],) if name in config.hookpoints else ()
        sharded = config.sharded and name in config.hookpoints
        zarr.create_array(
            store,
            name=name,
            shape=(config.n_rows, *width),
            chunks=(rows_per_read(config, name), *width),
            shards=(config.rows_per_block, *width) if sharded else None,
            compressors=(*compressors, Crc32cCodec()),
            chunk_key_encoding={"name": "default", "separator": "."},
            **_array_type(config, name),
        )


def _array_type(config: StoreConfig, name: str) -> dict[str, Any]:
    if name in TOKEN_ARRAYS:
        return {"dtype": np.int32, "fill_value": -1}
    attributes: dict[str, str] = {"logical_dtype": config.dtype}
    if config.dtype == "float32":
        return {"dtype": np.float32, "fill_value": float("nan"), "attributes": attributes}
    attributes["bit_view"] = "uint16"
    return {"dtype": np.uint16, "fill_value": MISSING, "attributes": attributes}


def open_array(path: Path, name: str, *, writable: bool = False) -> zarr.Array:
    """Open one array; a writable one also stores chunks that hold nothing but fill."""
    return zarr.open_array(
        str(path / DATA),
        path=name,
        mode="r+" if writable else "r",
        config={"write_empty_chunks": writable},
    )


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
