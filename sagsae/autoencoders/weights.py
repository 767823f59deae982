"""Autoencoders by name, and from files written by ``Autoencoder.save``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from sagsae.autoencoders.base import Autoencoder, Target
from sagsae.autoencoders.registry import FOREIGN, VARIANTS, did_you_mean
from sagsae.training.recipe import DEFAULTS, SETTINGS

# What reading a file that was not written by ``Autoencoder.save`` raises, and RuntimeError.
UNREADABLE = (SafetensorError, LookupError, TypeError, ValueError, OSError, ArithmeticError)


def class_of(name: str) -> type[Autoencoder]:
    """The class of a variant.

    Raises:
        KeyError: the name is neither registered nor of the form ``module:Class``; the message
            lists those that are registered.
        ImportError: a class that cannot be imported; the message says which and what to do.
        TypeError: what is imported is no `Autoencoder`.
    """
    if name not in VARIANTS and not FOREIGN.fullmatch(name):
        known = f"registered are {', '.join(sorted(VARIANTS))}{did_you_mean(name, VARIANTS)}"
        raise KeyError(f"unknown variant {name!r}: {known}")
    ours = name in VARIANTS
    module, cls = (VARIANTS[name].place if ours else name).split(":")
    if ours:
        module = f"sagsae.autoencoders.{module}"
    try:
        kind = getattr(import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"variant {name!r} cannot be imported ({error}); install its package here, or put the "
            "folder that holds it on PYTHONPATH"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Autoencoder)):
        raise TypeError(f"variant {name!r} is no class derived from {Autoencoder.__qualname__}")
    return kind


def build(
    name: str, d: int, width: int, scale: float = 1.0, target: Target | None = None
) -> Autoencoder:
    """An autoencoder as its class makes it: registered variants with all parameters zero.

    Args:
        name: A registered variant, or ``my_package.module:Class``.
        d: Width of the activations.
        width: Number of latents H.
        scale: See `Autoencoder`.
        target: See `Autoencoder`.

    Raises:
        KeyError: unknown variant.
        ImportError, TypeError: see `class_of`.
    """
    sae = class_of(name)(d, width, scale, *([target] if target else []))
    sae.name = name
    return sae


def load(path: str | Path, variant: type[Autoencoder] | None = None) -> Autoencoder:
    """Read an autoencoder written by ``Autoencoder.save``.

    Nothing is unpickled, and no module that a file names is imported. Its ``loss`` is the one that
    was trained, but for AuxK, which needs to know which latents are dead.

    Args:
        path: The file.
        variant: The class, of a file of a class of another package.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: a class of another package, without ``variant``; the message names it.
        ValueError: not such a file, or tensors that do not fit its header, or values that are not
            finite; the message names the file.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            found = json.loads((file.metadata() or {})["autoencoder"])
            name, (header, provenance) = found["variant"], _header(found)
            if variant is None and name not in VARIANTS:
                raise ImportError(
                    f"of the class {name}, which is not imported at a file's word: import it "
                    "yourself, and give load(..., variant=...) the class"
                )
            kind = variant or class_of(name)
            _check_tensors(file, name, partial(kind, **header))
            sae = kind(**header)
            sae.name, recipe = name, provenance.get("recipe")
            if isinstance(recipe, dict):
                known = {key: recipe[key] for key in SETTINGS.keys() & recipe}
                sae.configure(replace(DEFAULTS, **known))
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
    """The arguments of a class, and the provenance, which files of earlier versions lack."""
    header = {key: found[key] for key in ("d", "width", "scale")}
    if not 0 < header["scale"] < math.inf:
        raise ValueError(f"scale is {header['scale']!r}")
    if "target" in found:
        header["target"] = Target(**found["target"])
    return header, dict(found.get("provenance", {}))


def _check_tensors(file: Any, name: str, make: Callable[[], Autoencoder]) -> None:
    """Compare the file's shapes with the header's before anything of either size is allocated."""
    with torch.device("meta"):
        sae = make()
    expected = {name: list(value.shape) for name, value in sorted(sae.state_dict().items())}
    found = {name: file.get_slice(name).get_shape() for name in sorted(file.keys())}
    if expected != found:
        raise ValueError(f"holds {found} where {name} needs {expected}")
