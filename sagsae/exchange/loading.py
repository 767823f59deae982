"""``sagsae.load``: an autoencoder from a file, a folder, or a repository of the hub.

Folders of SAELens and of dictionary_learning are read, too, as these write them, and so are
autoencoders and transcoders of Gemma Scope 2. Seen in SAELens 6.54 (``sae_lens/saes``,
``sae_lens/loading``) and dictionary_learning 0.1 (``dictionary.py``, ``trainers``). They become
classes of this library, in float32. The norms of decoder rows are moved into the encoder, which
changes no reconstruction; a TopK that ranks its latents without them keeps them, as it would rank
others. A pickle (``ae.pt``) is read by PyTorch's ``weights_only`` loader alone, which runs no code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from sagsae.autoencoders import weights as storage
from sagsae.autoencoders.base import Autoencoder, Target
from sagsae.autoencoders.weights import build
from sagsae.exchange import FORMATS, OWN_WEIGHTS

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load(
    source: str | Path,
    cell: str = "",
    *,
    revision: str | None = None,
    variant: type[Autoencoder] | None = None,
) -> Autoencoder:
    """Read an autoencoder written by ``Autoencoder.save``, or a folder of another library.

    No module that a file names is imported, and no pickle runs code, see the head of this module.
    ``loss`` is the one that was trained, but for AuxK, which needs to know which latents are dead.

    Args:
        source: The file, or a folder that holds it as ``sae.safetensors``, or else what SAELens,
            dictionary_learning or Gemma Scope 2 has written; or ``owner/name``, a repository of the
            Hugging Face hub with the same. What is there on the disk comes first.
        cell: Folder of the autoencoder below the source, for example
            ``smollm2-135m/resid/sagsae_tied/w1152_lam0.1_seed0``.
        revision: Branch, tag or commit of the repository; its main branch by default.
        variant: The class itself, of what was saved as a class of another package.

    Raises:
        FileNotFoundError: there is no such file, and no such repository that can be reached; the
            message says which.
        ImportError: a class of another package, without ``variant``; the message names it.
        ValueError: not such a file, or tensors that do not fit its header, or values that are not
            finite; or a folder of another library that cannot be read (``ForeignError``). The
            message names the file.
    """
    path = Path(source)
    if not path.exists() and REPOSITORY.fullmatch(str(source)):
        path = _downloaded(str(source), cell, revision)
    if path.is_dir():
        folder = path / cell
        format = None if (folder / OWN_WEIGHTS).exists() else format_of(folder)
        return read_peer(folder, format) if format else storage.load(folder / OWN_WEIGHTS, variant)
    if cell:
        raise FileNotFoundError(f"{source}: no such folder, so no {cell} in it")
    return storage.load(path, variant)


def _downloaded(repo: str, cell: str, revision: str | None) -> Path:
    """A copy of the repository in the hub's cache on this machine, with these files alone."""
    from huggingface_hub import snapshot_download

    names = [OWN_WEIGHTS, *chain.from_iterable(FORMATS.values())]
    wanted = [str(PurePosixPath(cell, name)) for name in names]
    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=wanted))
        if not any((folder / name).exists() for name in wanted):
            raise FileNotFoundError(f"the repository has none of {', '.join(wanted)}")
        return folder
    except Exception as error:  # network faults come as errors of several HTTP libraries
        at = f" at revision {revision}" if revision else ""
        raise FileNotFoundError(
            f"{repo}: no such folder here, and no autoencoder {cell} can be had from the "
            f"repository of that name on the Hugging Face hub{at} ({type(error).__name__}: "
            f"{error}); check the name, the cell and the network, or log in with `hf auth login` "
            "if it is private"
        ) from error


Tensors = dict[str, Tensor]
PLAIN = {"W_enc", "W_dec", "b_enc", "b_dec"}
# Architecture, as SAELens calls it -> variant here, and the tensors that it has.
KINDS = {
    "standard": ("relu", PLAIN),
    "gated": ("gated", {"W_enc", "W_dec", "b_dec", "b_gate", "r_mag", "b_mag"}),
    "jumprelu": ("jumprelu", PLAIN | {"threshold"}),
    "topk": ("topk", PLAIN | {"k"}),
    "abstopk": ("abstopk", PLAIN | {"k"}),
    "transcoder": ("relu", PLAIN),
    "skip_transcoder": ("relu", PLAIN | {"W_skip"}),
    "jumprelu_transcoder": ("jumprelu", PLAIN | {"threshold"}),
    "jumprelu_skip_transcoder": ("jumprelu", PLAIN | {"threshold", "W_skip"}),
}
# Class of dictionary_learning -> architecture in use after training.
DICTIONARIES = {
    "AutoEncoder": "standard",
    "AutoEncoderNew": "standard",
    "GatedAutoEncoder": "gated",
    "JumpReluAutoEncoder": "jumprelu",
    "AutoEncoderTopK": "topk",
    "BatchTopKSAE": "jumprelu",
    "MatryoshkaBatchTopKSAE": "jumprelu",
}
# Those that do not subtract ``b_dec`` from what they encode.
UNCENTRED = {"AutoEncoderNew", "JumpReluAutoEncoder"}
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


class Peer(NamedTuple):
    """An autoencoder of another library.

    Attributes:
        architecture: As SAELens calls it.
        tensors: By their names there.
        centred: Whether it subtracts ``b_dec`` from what it encodes.
        by_norm: Whether it ranks latents by their codes times the norms of their decoder rows.
    """

    architecture: str
    tensors: Tensors
    centred: bool
    by_norm: bool = True


class ForeignError(ValueError):
    """A folder that cannot be read; the message says why."""


def format_of(folder: Path) -> str | None:
    """The format of a folder, by its files; None for neither."""
    return next((name for name, files in FORMATS.items() if (folder / files[1]).is_file()), None)


def read_peer(folder: str | Path, format: str) -> Autoencoder:
    """Read an autoencoder that another library has trained.

    Args:
        folder: Holds the files of ``FORMATS``.
        format: One of ``FORMATS``.

    Returns:
        A ``gated``, ``relu``, ``jumprelu``, ``topk`` or ``abstopk`` of scale 1, for activations as
        they are; as a transcoder where the file holds one. Its ``provenance`` has format and
        architecture under ``foreign``.

    Raises:
        ForeignError: a file is absent or damaged, or its architecture or a setting is not known
            here; the message says which.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / FORMATS[format][0]).read_text(encoding="utf-8"))
        weights = folder / FORMATS[format][1]
        if format == "saelens":
            found = _of_saelens(config, load_file(weights))
        elif format == "gemma_scope_2":
            found = _of_gemma_scope(config, load_file(weights))
        else:
            found = _of_dictionary_learning(config, _pickled(weights))
        sae = _built(found)
    except ForeignError as error:
        raise ForeignError(f"{folder}: {error}") from None
    except Exception as error:  # parsers and unpicklers raise anything on a file they do not know
        raise ForeignError(
            f"{folder}: cannot be read as an autoencoder of {format} "
            f"({type(error).__name__}: {error})"
        ) from error
    sae.provenance = {"foreign": {"format": format, "architecture": found.architecture}}
    return sae


def _pickled(path: Path) -> Tensors:
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise ForeignError(f"{path.name} holds no tensors by name")
    return found


def _of_saelens(config: Mapping[str, Any], tensors: Tensors) -> Peer:
    """What SAELens's format holds, of version 6 and earlier."""
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
    by_norm = True
    if architecture in ("topk", "abstopk"):
        k = config.get("k") or config.get("activation_fn_kwargs", {}).get("k")
        by_norm = bool(config.get("rescale_acts_by_decoder_norm"))
        tensors = tensors | {"k": torch.tensor(int(k))}
    return Peer(architecture, tensors, config.get("apply_b_dec_to_input", True), by_norm)


def _of_gemma_scope(config: Mapping[str, Any], tensors: Tensors) -> Peer:
    """What Gemma Scope 2 holds: autoencoders, and transcoders with an affine skip or without."""
    names = {"w_enc": "W_enc", "w_dec": "W_dec", "affine_skip_connection": "W_skip"}
    found = {names.get(name, name): value for name, value in tensors.items()}
    if "W_skip" in found:
        found["W_skip"] = found["W_skip"].T
        return Peer("jumprelu_skip_transcoder", found, centred=False)
    crosses = config.get("hf_hook_point_out") not in (None, config.get("hf_hook_point_in"))
    return Peer("jumprelu_transcoder" if crosses else "jumprelu", found, centred=False)


def _of_dictionary_learning(config: Mapping[str, Any], tensors: Tensors) -> Peer:
    """Weights that dictionary_learning has saved."""
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
        found["k"] = tensors["k"]
    return Peer(architecture, found, name not in UNCENTRED, by_norm=architecture != "topk")


def _built(peer: Peer) -> Autoencoder:
    """The autoencoder of this library."""
    if peer.architecture not in KINDS:
        known = ", ".join(KINDS)
        raise ForeignError(
            f"architecture {peer.architecture!r} is not known here; known are {known}"
        )
    variant, names = KINDS[peer.architecture]
    if other := ", ".join(sorted(peer.tensors.keys() ^ names)):
        raise ForeignError(f"does not have the tensors of {peer.architecture!r}: see {other}")
    found = {n: v.double() if v.is_floating_point() else v for n, v in peer.tensors.items()}
    if variant != "gated":
        found["centred"] = torch.tensor(int(peer.centred))
    elif not peer.centred:  # a gate here subtracts b_dec
        shift = found["b_dec"] @ found["W_enc"]
        found["b_gate"] = found["b_gate"] + shift
        found["b_mag"] = found["b_mag"] + found["r_mag"].exp() * shift
    if peer.by_norm:
        norms = found["W_dec"].norm(dim=1).clamp_min(TINY)
        found["W_dec"], found["W_enc"] = found["W_dec"] / norms[:, None], found["W_enc"] * norms
        for name in found.keys() & {"b_enc", "b_gate", "b_mag", "threshold"}:
            found[name] = found[name] * norms
    if "threshold" in found:  # below zero it lets nothing more through
        found["threshold"] = found["threshold"].clamp_min(0)
    d, width = found["W_enc"].shape
    target = None
    if "transcoder" in peer.architecture:
        target = Target(found["W_dec"].shape[1], 1.0, "W_skip" in found)
        found |= {"centred": torch.tensor(0), "centre": torch.zeros(d)}
        if target.skip:
            found["W_skip"] = found["W_skip"].T
    sae = build(variant, d, width, 1.0, target)
    for name, value in sae.state_dict().items():
        if value.shape != found[name].shape or not bool(found[name].isfinite().all()):
            raise ForeignError(f"{name} is of shape {list(found[name].shape)}, or is not finite")
        value.copy_(found[name])
    return sae
