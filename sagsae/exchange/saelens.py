"""Autoencoders as folders that SAELens loads: ``cfg.json`` and ``sae_weights.safetensors``.

Read in SAELens 6.54 (``sae_lens/saes``, ``sae_lens/loading``). Its ``metadata`` is free-form; the
keys that it knows are used where they mean the same.

This is what SAELens calls an autoencoder of this library, in the units of raw activations:

| here | SAELens | |
|---|---|---|
| one-sided gates | ``gated`` | |
| two-sided gates | ``gated`` of 2H latents | |
| ``relu`` | ``standard`` | |
| ``absrelu`` | ``standard`` of 2H latents | biases ``b - t`` and ``-b - t``, t the threshold |
| ``topk``, ``abstopk`` | ``topk``, ``abstopk`` | the same k |
| ``batchtopk``, ``matryoshka_batchtopk`` | ``jumprelu`` | as SAELens saves its own |
| ``jumprelu`` | ``jumprelu`` | |
| ``absbatchtopk``, ``absjumprelu``, ``matryoshka_absbatchtopk`` | ``jumprelu`` of 2H latents | |
| transcoders | ``jumprelu_transcoder``, ``jumprelu_skip_transcoder`` | see `as_jumprelu` |

A two-sided latent ``(w, theta+, theta-, r+, r-, c+, c-, v)`` of a gate is two gated ones:
``(w, b_gate = -theta+, r_mag = r+, b_mag = c+, v)`` and
``(-w, b_gate = -theta-, r_mag = r-, b_mag = c-, -v)``. Both thresholds are non-negative, so
the two never fire together. Without a gate, (w, b, v) is (w, b, v) and (-w, -b, -v).

The scale s of the activations is taken out: biases and thresholds are divided by s and the matrices
stay, so that decoder rows keep unit norm and codes are in the units of the activations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from sagsae import __version__
from sagsae.activations.hookpoints import layer_of
from sagsae.activations.store import Store
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gated import GatedAutoencoder
from sagsae.autoencoders.registry import VARIANTS
from sagsae.autoencoders.relu import Relu
from sagsae.autoencoders.topk import TopK
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.exchange import CONFIG, WEIGHTS
from sagsae.exchange.transcoders import NoEqualError, as_jumprelu
from sagsae.files import write_atomic

# The SAELens whose configuration is written; it converts what an earlier one has written.
FORMAT = "6.0.0"
DTYPES = {torch.float32: "float32", torch.float64: "float64"}
STREAM = "hook_resid_post"
# TransformerLens's names of a module's output: what is added to the stream, and what leaves the
# module. They differ where the block normalises between the two.
OUTPUTS = {
    "mlp_out": ("hook_mlp_out", "mlp.hook_out"),
    "attn": ("hook_attn_out", "attn.hook_out"),
    "mlp_added": ("hook_mlp_out",) * 2,
    "attn_added": ("hook_attn_out",) * 2,
    "mlp_in": ("mlp.hook_in",) * 2,
}
NORMALISES_AFTER = {"gemma2": True, "gemma3_text": True}
NORMALISES_AFTER |= dict.fromkeys(
    ("gpt2", "gpt_neox", "llama", "mistral", "opt", "qwen2", "qwen3", "smollm3"), False
)


def transformer_lens_name(hookpoint: str, layer: int, model_type: str | None) -> str | None:
    """What TransformerLens calls the output that a hookpoint of this library is.

    Args:
        hookpoint: One of `default_hookpoints`.
        layer: Index of the block.
        model_type: ``model.config.model_type`` of Transformers. Gemma 2 and 3 normalise the output
            of attention and MLP, and TransformerLens's ``hook_mlp_out`` comes after that; the
            module's own output has a name in its ``TransformerBridge`` alone.

    Returns:
        The name, or None for another hookpoint, or where the architecture is not known.
    """
    if hookpoint == "resid":
        return f"blocks.{layer}.{STREAM}"
    if hookpoint not in OUTPUTS or model_type not in NORMALISES_AFTER:
        return None
    return f"blocks.{layer}.{OUTPUTS[hookpoint][NORMALISES_AFTER[model_type]]}"


def hook_metadata(
    hookpoint: str, module: str, layer: int | None, model_type: str | None
) -> dict[str, Any]:
    """The keys of SAELens's metadata that name a hookpoint.

    Args:
        hookpoint: Its name here.
        module: Dotted path of the module in the Hugging Face model.
        layer: Index of the block, if there is one.
        model_type: See `transformer_lens_name`.

    Returns:
        ``hook_name`` for TransformerLens (the module's path where it has no name there),
        ``hf_hook_name``, the module's path, and ``hook_layer``.
    """
    name = None if layer is None else transformer_lens_name(hookpoint, layer, model_type)
    return {"hook_name": name or module, "hf_hook_name": module, "hook_layer": layer}


def position_metadata(context_length: int, max_norm_ratio: float) -> dict[str, Any]:
    """The keys that say which tokens were trained on: the first of each context was left out.

    Args:
        context_length: Tokens per context.
        max_norm_ratio: Tokens beyond this many median norms were left out, too.

    Returns:
        ``context_size``, ``seqpos_slice`` as SAELens slices positions, and ``dropped_positions``
        in words.
    """
    massive = f"tokens whose norm exceeds {max_norm_ratio:g} medians at any hookpoint"
    return {
        "context_size": context_length,
        "seqpos_slice": [1, None],
        "dropped_positions": ["the first of each context", massive],
    }


def store_metadata(store: Store, hookpoint: str, model_type: str | None) -> dict[str, Any]:
    """What a store says of a hookpoint's activations, in SAELens's words.

    Args:
        store: One that `dump_activations` filled; of another the metadata are empty.
        hookpoint: One of its hookpoints.
        model_type: See `transformer_lens_name`.
    """
    known = store.config.provenance
    dump, layer = known.get("dump", {}), layer_of(hookpoint, known.get("layer"))
    name = hookpoint.rpartition(".")[2]
    found: dict[str, Any] = {"model_name": known.get("model"), "revision": known.get("revision")}
    if module := dump.get("modules", {}).get(hookpoint):
        found |= hook_metadata(name, module, layer, model_type)
    if dump:
        found |= position_metadata(dump["context_length"], dump["max_norm_ratio"])
    return {key: value for key, value in found.items() if value is not None}


def export_saelens(
    autoencoder: Autoencoder,
    folder: str | Path,
    *,
    store: Store | None = None,
    model_type: str | None = None,
    dtype: torch.dtype = torch.float32,
    **metadata: Any,
) -> Path:
    """Write a folder that ``sae_lens.SAE.load_from_disk`` loads as an SAE equal to this one.

    Which architecture that is, the head of this module says. Latents are in the units of the
    activations, and rows of ``W_dec`` are of unit norm. A two-sided autoencoder of width H is one
    of width 2H there, but for AbsTopK: latents i and i + H are the positive and the negative side
    of latent i. L0 is the same, since the two never fire together.

    Args:
        autoencoder: Any with a gate, also of a class of your own, or of a family without one.
        folder: Is made where it is not there; its ``cfg.json`` and ``sae_weights.safetensors`` are
            replaced.
        store: What it was trained on or measured on. Says where the activations come from.
        model_type: ``model.config.model_type`` of the language model: names the hookpoint for
            TransformerLens.
        dtype: float32, or float64 for no rounding: in float32 a gate that is within rounding of its
            threshold may open in one library alone.
        **metadata: Further keys of SAELens's metadata, such as ``model_name``, ``dataset_path`` and
            ``prepend_bos``; they win over those of the store.

    Returns:
        The folder.

    Raises:
        NoEqualError: SAELens has no architecture that equals the autoencoder; the message says why.
        KeyError: the dtype is neither float32 nor float64.
    """
    folder, type_name, H = Path(folder), DTYPES[dtype], autoencoder.width
    pairs = f"latents i and i + {H} are the positive and the negative side of latent i"
    equal = saelens_weights(autoencoder)
    known, hookpoint = autoencoder.provenance, autoencoder.provenance.get("hookpoint")
    origin = {"model_name": known.get("model"), "hook_layer": known.get("layer")}
    origin = {key: value for key, value in origin.items() if value is not None}
    if store is not None and hookpoint is not None:
        origin |= store_metadata(store, hookpoint, model_type)
    if autoencoder.target is not None:
        origin |= _target_metadata(autoencoder, store, model_type)
    config = {
        "architecture": equal.architecture,
        "d_in": autoencoder.d,
        "d_sae": len(equal.tensors["W_dec"]),
        "dtype": type_name,
        "device": "cpu",
        **({"d_out": autoencoder.d_out} if autoencoder.target else {}),
        **equal.settings,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": FORMAT,
            "sae_lens_training_version": None,
            **origin,
            **metadata,
            "sagsae": {
                "version": __version__,
                "variant": autoencoder.name,
                "width": H,
                "activation_scale": autoencoder.scale,
                **({"sides": pairs} if equal.split else {}),
                "provenance": known,
            },
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.to(dtype).contiguous() for name, value in equal.tensors.items()}
    content = save(tensors, metadata={"format": "pt"})
    write_atomic(folder / WEIGHTS, content)
    write_atomic(folder / CONFIG, (json.dumps(config, indent=1) + "\n").encode())
    return folder


def _target_metadata(
    transcoder: Autoencoder, store: Store | None, model_type: str | None
) -> dict[str, Any]:
    """The keys that name what a transcoder predicts."""
    target = str(transcoder.provenance.get("target", ""))
    known = {} if store is None else store_metadata(store, target, model_type)
    renamed = {"hook_name": "hook_name_out", "hf_hook_name": "hf_hook_name_out"}
    return {renamed[key]: value for key, value in known.items() if key in renamed}


# How far from 1 the norm of a decoder row may be.
UNIT = 1e-3
# Tensors that are in the units of the activations.
IN_UNITS = ("b_enc", "b_dec", "b_gate", "b_mag", "threshold")


@dataclass(frozen=True)
class SaelensWeights:
    """An autoencoder of SAELens for raw activations.

    Attributes:
        architecture: Its name there.
        tensors: By their names there, float64; of K = H latents, or 2H of which i and i + H are the
            positive and the negative side of latent i.
        settings: Further keys of its configuration.
        split: Whether there are 2H.
    """

    architecture: str
    tensors: dict[str, Tensor]
    settings: dict[str, Any]
    split: bool


def saelens_weights(autoencoder: Autoencoder) -> SaelensWeights:
    """The autoencoder of SAELens that computes what one of this library does, on the CPU.

    Args:
        autoencoder: Of width H. It is left as it is.

    Raises:
        NoEqualError: it is no registered variant, its decoder rows are not of unit norm, or a
            weight is not finite there.
    """
    sae = autoencoder
    if sae.name not in VARIANTS:
        raise NoEqualError(
            f"{sae.name}: only registered variants have an equal in SAELens; save it with "
            "Autoencoder.save instead"
        )
    assert isinstance(sae, GatedAutoencoder | UngatedAutoencoder)
    values = {name: value.detach().double().cpu() for name, value in sae.state_dict().items()}
    if bool(((values["W_dec"].norm(dim=1) - 1).abs() > UNIT).any()):
        raise NoEqualError(
            f"{sae.name}: rows of W_dec are not of unit norm; call fold_norms() or finish() first"
        )
    if sae.target is not None:
        return _of_transcoder(sae)
    found = _gated(sae, values) if isinstance(sae, GatedAutoencoder) else _ungated(sae, values)
    for name in found.tensors.keys() & set(IN_UNITS):
        found.tensors[name] = found.tensors[name] / sae.scale
    if not all(bool(value.isfinite().all()) for value in found.tensors.values()):
        raise NoEqualError(f"{sae.name}: a weight is not finite")
    return found


def _of_transcoder(sae: GatedAutoencoder | UngatedAutoencoder) -> SaelensWeights:
    tensors, architecture = as_jumprelu(sae), "jumprelu_transcoder"
    if sae.skips:
        tensors["W_skip"], architecture = tensors["W_skip"].T, "jumprelu_skip_transcoder"
    return SaelensWeights(architecture, tensors, {"apply_b_dec_to_input": False}, sae.two_sided)


def _gated(sae: GatedAutoencoder, values: dict[str, Tensor]) -> SaelensWeights:
    sides = sae.sides({name: values[name] for name in sae.vectors})
    pairs = zip(sides[::2], sides[1::2], strict=True)
    theta, r, c = (torch.cat(pair) if sae.two_sided else pair[0] for pair in pairs)
    tensors = {
        **_matrices(values, sae.two_sided),
        "b_gate": -theta,
        "r_mag": r,
        "b_mag": c,
    }
    return SaelensWeights("gated", tensors, {"apply_b_dec_to_input": True}, sae.two_sided)


def _ungated(sae: UngatedAutoencoder, values: dict[str, Tensor]) -> SaelensWeights:
    settings: dict[str, Any] = {"apply_b_dec_to_input": bool(int(sae.centred))}
    bias, split = values["b_enc"], sae.two_sided and not isinstance(sae, TopK)
    tensors = _matrices(values, split)
    tensors["b_enc"] = torch.cat([bias, -bias]) if split else bias
    if isinstance(sae, TopK):
        architecture = "abstopk" if sae.two_sided else "topk"
        settings |= {"k": int(sae.k), "rescale_acts_by_decoder_norm": False}
    elif isinstance(sae, Relu):
        architecture = "standard"
        if split:
            tensors["b_enc"] = tensors["b_enc"] - values["threshold"].expand(sae.width).repeat(2)
    else:
        architecture = "jumprelu"
        tensors["threshold"] = values["threshold"].expand(sae.width).repeat(1 + split)
    return SaelensWeights(architecture, tensors, settings, split)


def _matrices(values: dict[str, Tensor], split: bool) -> dict[str, Tensor]:
    """Encoder, decoder and its bias; the positive sides before the negative ones if split."""
    W_enc, W_dec = values["W_enc"], values["W_dec"]
    if split:
        W_enc, W_dec = torch.cat([W_enc, -W_enc], dim=1), torch.cat([W_dec, -W_dec])
    return {"W_enc": W_enc, "W_dec": W_dec, "b_dec": values["b_dec"]}
