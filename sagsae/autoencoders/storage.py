"""Autoencoders by name, and from files written by ``Autoencoder.save``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.registry import variant


def build(name: str, d: int, width: int, scale: float = 1.0) -> Autoencoder:
    """An autoencoder of a registered variant with all parameters zero.

    Raises:
        KeyError: unknown variant.
    """
    return variant(name)(d, width, scale)


def load(path: str | Path) -> Autoencoder:
    """Read an autoencoder written by ``Autoencoder.save``. Nothing is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not such a file, or tensors that do not fit its header, or values that are not
            finite; the message names the file.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            header = _header(json.loads((file.metadata() or {})["autoencoder"]))
            _check_tensors(file, header)
            sae = build(**header)
            for name, value in sae.params.items():
                value.copy_(file.get_tensor(name))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such autoencoder file") from None
    except (SafetensorError, LookupError, TypeError, ValueError, OSError, RecursionError) as error:
        raise ValueError(
            f"{path}: not an autoencoder file ({error}): train the cell again"
        ) from None
    for name, value in sae.params.items():
        if not bool(value.isfinite().all()):
            raise ValueError(f"{path}: {name} holds values that are not finite")
    return sae


def _header(found: Any) -> dict[str, Any]:
    """The arguments of ``build``, each of its type and in its range."""
    header = {key: found[key] for key in ("variant", "d", "width", "scale")}
    sizes = [header["d"], header["width"]]
    if not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(f"d and width are {sizes}")
    scale = header["scale"]
    if type(scale) is not float or not 0 < scale < math.inf:
        raise ValueError(f"scale is {scale!r}")
    return {"name": header.pop("variant"), **header}


def _check_tensors(file: Any, header: dict[str, Any]) -> None:
    """Compare the file's shapes with the header's before anything of either size is allocated."""
    d, width, kind = header["d"], header["width"], variant(header["name"])
    expected = {"W_enc": [d, width], "W_dec": [width, d], "b_dec": [d]}
    expected |= {name: [width] for name in kind.vectors}
    slices = {name: file.get_slice(name) for name in sorted(file.keys())}
    found = {name: tensor.get_shape() for name, tensor in slices.items()}
    if expected != found:
        raise ValueError(f"holds {found} where {kind.name} needs {expected}")
    types = {tensor.get_dtype() for tensor in slices.values()}
    if types not in ({"F32"}, {"F64"}, {"BF16"}):
        raise ValueError(f"holds {', '.join(sorted(types))}, not one type of F32, F64 and BF16")
