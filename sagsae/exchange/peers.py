"""Autoencoders of SAELens and of dictionary_learning, from the folders that these write.

Read in SAELens 6.54 (``sae_lens/saes``) and dictionary_learning 0.1 (``dictionary.py``,
``trainers``). Weights become float32; the norms of decoder rows are moved into the encoder, which
changes no reconstruction. A pickle (``ae.pt``) is read by PyTorch's ``weights_only`` loader alone,
which runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.foreign import AbsTopK, Foreign, JumpReLU, Rectified, TopK
from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.autoencoders.gated import Gated
from sagsae.exchange import FORMATS

Tensors = dict[str, Tensor]
PLAIN = {"W_enc", "W_dec", "b_enc", "b_dec"}
GATED = {"W_enc", "W_dec", "b_dec", "b_gate", "r_mag", "b_mag"}
KINDS: dict[str, tuple[type[Autoencoder], set[str]]] = {
    "standard": (Rectified, PLAIN),
    "gated": (Gated, GATED),
    "jumprelu": (JumpReLU, PLAIN | {"threshold"}),
    "topk": (TopK, PLAIN),
    "abstopk": (AbsTopK, PLAIN),
}
"""Architecture, as SAELens calls it -> class here, and the tensors that it has."""
DICTIONARIES = {
    "AutoEncoder": "standard",
    "AutoEncoderNew": "standard",
    "GatedAutoEncoder": "gated",
    "JumpReluAutoEncoder": "jumprelu",
    "AutoEncoderTopK": "topk",
    "BatchTopKSAE": "jumprelu",
    "MatryoshkaBatchTopKSAE": "jumprelu",
}
"""Class of dictionary_learning -> architecture in use after training."""
UNCENTRED = {"AutoEncoderNew", "JumpReluAutoEncoder"}
"""Those that do not subtract ``b_dec`` from what they encode."""
RENAMED = {
    "encoder.weight": "W_enc",
    "decoder.weight": "W_dec",
    "encoder.bias": "b_enc",
    "bias": "b_dec",
    "decoder.bias": "b_dec",
    "decoder_bias": "b_dec",
    "gate_bias": "b_gate",
    "mag_bias": "b_mag",
}
TINY = torch.finfo(torch.float64).tiny


class ForeignError(ValueError):
    """A folder that cannot be read; the message says why."""


def format_of(folder: Path) -> str | None:
    """The format of a folder, by its files; None for neither."""
    return next((name for name, files in FORMATS.items() if (folder / files[1]).is_file()), None)


def read_peer(folder: str | Path, format: str) -> Autoencoder:
    """Read an autoencoder that another library has trained.

    Args:
        folder: Holds the files of ``FORMATS``.
        format: ``saelens`` or ``dictionary_learning``.

    Returns:
        A ``gated`` or a class of `sagsae.autoencoders.foreign`, of scale 1: it takes activations as
        they are. Its ``provenance`` has format and architecture under ``foreign``.

    Raises:
        ForeignError: a file is absent or damaged, or its architecture or a setting is not known
            here; the message says which.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / FORMATS[format][0]).read_text(encoding="utf-8"))
        tensors = _TENSORS[format](folder / FORMATS[format][1])
        architecture, found = _CONVERSIONS[format](config, tensors)
        sae = _built(architecture, found)
    except ForeignError as error:
        raise ForeignError(f"{folder}: {error}") from None
    except Exception as error:  # parsers and unpicklers raise anything on a file they do not know
        raise ForeignError(
            f"{folder}: cannot be read as an autoencoder of {format} "
            f"({type(error).__name__}: {error})"
        ) from error
    sae.provenance = {"foreign": {"format": format, "architecture": architecture}}
    return sae


def _pickled(path: Path) -> Tensors:
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise ForeignError(f"{path.name} holds no tensors by name")
    return found


def _of_saelens(config: Mapping[str, Any], tensors: Tensors) -> tuple[str, Tensors]:
    """Architecture and centred tensors of SAELens's format, of version 6 and earlier."""
    architecture = config.get("architecture", "standard")
    normalised = config.get("normalize_activations") or "none"
    if normalised != "none":
        raise ForeignError(
            f"normalises activations by {normalised!r}, which is not done here: fold it into the "
            "weights with SAELens"
        )
    activation = config.get("activation_fn", config.get("activation_fn_str", "relu"))
    if architecture == "standard" and activation == "topk":
        architecture = "topk"
    elif activation not in ("relu", "topk") or config.get("finetuning_scaling_factor"):
        raise ForeignError(f"activation {activation!r} or a finetuning factor is not known here")
    if architecture in ("topk", "abstopk"):
        k = config.get("k") or config.get("activation_fn_kwargs", {}).get("k")
        by_norm = bool(config.get("rescale_acts_by_decoder_norm"))
        norm = torch.ones(len(tensors["W_dec"])) if by_norm else tensors["W_dec"].norm(dim=1)
        tensors = tensors | {"k": torch.tensor(int(k)), "norm": norm}
    return architecture, _centred(tensors, config.get("apply_b_dec_to_input", True))


def _of_dictionary_learning(config: Mapping[str, Any], tensors: Tensors) -> tuple[str, Tensors]:
    """The same of dictionary_learning's."""
    name = config["trainer"]["dict_class"]
    if name not in DICTIONARIES:
        raise ForeignError(f"class {name!r} is not known here; known are {', '.join(DICTIONARIES)}")
    architecture = DICTIONARIES[name]
    turned = ("encoder.weight", "decoder.weight")  # of nn.Linear
    found = {
        RENAMED.get(key, key): value.T if key in turned else value
        for key, value in tensors.items()
        if key not in ("k", "threshold", "group_sizes")
    }
    if architecture == "jumprelu":
        found["threshold"] = tensors["threshold"].expand(len(found["W_dec"]))
    if architecture == "topk":
        found |= {"k": tensors["k"], "norm": found["W_dec"].norm(dim=1)}
    return architecture, _centred(found, name not in UNCENTRED)


def _centred(tensors: Tensors, centred: bool) -> Tensors:
    """In float64, with biases for ``x - b_dec`` in place of x."""
    found = {
        name: value.double() if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    if not centred:
        shift = found["b_dec"] @ found["W_enc"]
        for name in ("b_enc", "b_gate"):
            if name in found:
                found[name] = found[name] + shift
        if "b_mag" in found:
            found["b_mag"] = found["b_mag"] + found["r_mag"].exp() * shift
    return found


def _built(architecture: str, found: Tensors) -> Autoencoder:
    """The autoencoder, with decoder rows of unit norm."""
    if architecture not in KINDS:
        known = ", ".join(KINDS)
        raise ForeignError(f"architecture {architecture!r} is not known here; known are {known}")
    kind, names = KINDS[architecture]
    names = names | ({"k", "norm"} if issubclass(kind, TopK) else set())
    if found.keys() != names:
        differing = ", ".join(sorted(found.keys() ^ names))
        raise ForeignError(f"does not have the tensors of {architecture!r}: see {differing}")
    width, d = found["W_dec"].shape
    sae = kind(d, width, 1.0)
    norms = found["W_dec"].norm(dim=1).clamp_min(TINY)
    found["W_dec"], found["W_enc"] = found["W_dec"] / norms[:, None], found["W_enc"] * norms
    for name in ("b_enc", "b_gate", "b_mag", "threshold"):
        if name in found:
            found[name] = found[name] * norms
    for name, value in sae.state_dict().items():
        if value.shape != found[name].shape or not bool(found[name].isfinite().all()):
            raise ForeignError(f"{name} is of shape {list(found[name].shape)}, or is not finite")
        value.copy_(found[name])
    assert isinstance(sae, Foreign | GatedAutoencoder)
    return sae


_TENSORS: dict[str, Callable[[Path], Tensors]] = {
    "saelens": load_file,
    "dictionary_learning": _pickled,
}
_CONVERSIONS: dict[str, Callable[[Mapping[str, Any], Tensors], tuple[str, Tensors]]] = {
    "saelens": _of_saelens,
    "dictionary_learning": _of_dictionary_learning,
}
