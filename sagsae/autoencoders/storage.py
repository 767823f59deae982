"""Autoencoders by name, and from files written by ``Autoencoder.save``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.registry import variant

# What reading a file that was not written by ``Autoencoder.save`` raises, and RuntimeError.
UNREADABLE = (SafetensorError, LookupError, TypeError, ValueError, OSError, ArithmeticError)


def build(name: str, d: int, width: int, scale: float = 1.0) -> Autoencoder:
    """An autoencoder as its class makes it: registered variants with all parameters zero.

    Args:
        name: A registered variant, or ``my_package.module:Class``.
        d: Width of the activations.
        width: Number of latents H.
        scale: See `Autoencoder`.

    Raises:
        KeyError: unknown variant.
        ImportError, TypeError: see `variant`.
    """
    sae = variant(name)(d, width, scale)
    sae.name = name
    return sae


def load(path: str | Path) -> Autoencoder:
    """Read an autoencoder written by ``Autoencoder.save``. Nothing is unpickled.

    A class of another package is imported by the name in the file.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the class cannot be imported; the message says which and what to do.
        ValueError: not such a file, or tensors that do not fit its header, or values that are not
            finite; the message names the file.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            header, provenance = _header(json.loads((file.metadata() or {})["autoencoder"]))
            _check_tensors(file, header)
            sae = build(**header)
            for name, value in sae.state_dict().items():
                value.copy_(file.get_tensor(name))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such autoencoder file") from None
    except ImportError as error:
        raise ImportError(f"{path}: {error}") from None
    except (*UNREADABLE, RuntimeError) as error:
        raise ValueError(
            f"{path}: not an autoencoder file ({error}): copy or train it again"
        ) from None
    for name, value in sae.state_dict().items():
        if not bool(value.isfinite().all()):
            raise ValueError(f"{path}: {name} holds values that are not finite")
    sae.provenance = provenance
    return sae


def _header(found: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of ``build``, and the provenance, which files of earlier versions lack."""
    header = {key: found[key] for key in ("d", "width", "scale")}
    if not 0 < header["scale"] < math.inf:
        raise ValueError(f"scale is {header['scale']!r}")
    return {"name": found["variant"], **header}, dict(found.get("provenance", {}))


def _check_tensors(file: Any, header: dict[str, Any]) -> None:
    """Compare the file's shapes with the header's before anything of either size is allocated."""
    with torch.device("meta"):
        sae = build(**header)
    expected = {name: list(value.shape) for name, value in sorted(sae.state_dict().items())}
    found = {name: file.get_slice(name).get_shape() for name in sorted(file.keys())}
    if expected != found:
        raise ValueError(f"holds {found} where {header['name']} needs {expected}")
