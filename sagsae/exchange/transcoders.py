"""Transcoders for other libraries: as JumpReLU ones, and as the folder that circuit-tracer loads.

A latent's side opens where its pre-activation exceeds theta, with the code ``exp(r) pre + c``. That
is a JumpReLU latent of encoder row ``exp(r) w``, bias ``exp(r) b + c`` and threshold ``max(0,
exp(r) theta + c)``. So every family but those that keep k of a row has an equal. A two-sided latent
is two: i and i + H are its positive and its negative side. What the encoder subtracts and the
scales go into biases and matrices, so that what is read and predicted is in raw units.

Read in circuit-tracer 0.5.0 (``transcoder/single_layer_transcoder.py``, ``utils/hf_utils.py``,
``utils/tl_nnsight_mapping.py``).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from sagsae.activations.hookpoints import default_hookpoints, ends_of
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.declaration import BY_BATCH, BY_ROW
from sagsae.autoencoders.dictionary import Dictionary
from sagsae.files import write_atomic


class NoEqualError(ValueError):
    """An autoencoder that no autoencoder of another library equals; the message says why."""


def circuit_tracer_hooks(model_type: str) -> dict[str, str]:
    """circuit-tracer's names of what an MLP reads and of what it adds to the stream.

    Where the block normalises what the MLP gives, as in Gemma 2 and 3, ``mlp.hook_out`` comes
    before that and is not what is added; what leaves the module has no name then.

    Args:
        model_type: ``model.config.model_type`` of Transformers.

    Raises:
        ValueError: the architecture is not known.
    """
    known = default_hookpoints(model_type, 0)
    if known["mlp_out"].path != known["mlp_added"].path:
        return {"mlp_in": "mlp.hook_in", "mlp_added": "hook_mlp_out"}
    return {"mlp_in": "mlp.hook_in", "mlp_added": "mlp.hook_out", "mlp_out": "mlp.hook_out"}


def as_jumprelu(transcoder: Autoencoder) -> dict[str, Tensor]:
    """The tensors of the equal JumpReLU transcoder in raw units, float64 on the CPU.

    Returns:
        ``W_enc`` [d, K], ``b_enc`` [K], ``threshold`` [K], ``W_dec`` [K, d_out], ``b_dec`` [d_out],
        and ``W_skip`` [d, d_out] of a skip; K is H, or 2H of two-sided latents.

    Raises:
        NoEqualError: it keeps k of each row, or is of a class of another package.
    """
    if not isinstance(transcoder, Dictionary) or transcoder.opened == BY_ROW:
        raise NoEqualError(
            f"{transcoder.name}: which latents of a row open depends on the others, or on a class "
            "of your own; JumpReLU has no equal. Train batchtopk in its place"
        )
    v = {name: value.detach().double().cpu() for name, value in transcoder.state_dict().items()}
    sides = transcoder.sides({name: v[name] for name in transcoder.vectors})
    signs, scale = (1.0, -1.0)[: 1 + transcoder.two_sided], transcoder.out_scale
    bias, parts = v.get("b_enc", torch.zeros(transcoder.width, dtype=torch.float64)), []
    for sign, theta, r, c in zip(signs, sides[0:2], sides[2:4], sides[4:6], strict=False):
        if transcoder.opened == BY_BATCH:
            theta = theta.clamp_min(v["threshold"])
        gain = r.exp()
        rows = sign * v["W_enc"] * gain
        parts.append((rows, sign * bias * gain + c, (theta * gain + c).clamp_min(0)))
    W_enc, b_enc, threshold = (torch.cat(part, -1) for part in zip(*parts, strict=True))
    b_dec, own = v["b_dec"], {}
    if transcoder.skips:
        b_dec = b_dec - v["centre"] @ v["W_skip"]
        own["W_skip"] = v["W_skip"] * (transcoder.scale / scale)
    return {
        "W_enc": W_enc * (transcoder.scale / scale),
        "b_enc": (b_enc - v["centre"] @ W_enc) / scale,
        "threshold": threshold / scale,
        "W_dec": torch.cat([sign * v["W_dec"] for sign in signs]),
        "b_dec": b_dec / scale,
        **own,
    }


def export_circuit_tracer(
    transcoders: Mapping[int, Autoencoder],
    folder: str | Path,
    *,
    model_name: str,
    model_type: str,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a folder that circuit-tracer loads as a set of transcoders.

    Args:
        transcoders: By layer; each reads ``mlp_in`` and predicts ``mlp_added``, all are of one
            width and either all one-sided or all two-sided.
        folder: Is made where it is not there; the files of these layers are replaced.
        model_name: Of the language model, as circuit-tracer is given it.
        model_type: ``model.config.model_type`` of Transformers, by which hooks have their names.
        dtype: Of the weights.

    Returns:
        The folder, with ``layer_{i}.safetensors`` and ``config.yaml``.

    Raises:
        ValueError: there are none, they are of several widths, stand between other hookpoints, or
            were trained on other layers; or the architecture is not known.
        NoEqualError: see `as_jumprelu`.

    Warns:
        UserWarning: layers are missing below the highest one, without which circuit-tracer refuses
            the set.
    """
    folder, layers, hooks = Path(folder), sorted(transcoders), circuit_tracer_hooks(model_type)
    if not layers:
        raise ValueError("there are no transcoders to export: give them by layer")
    ends = {ends_of(transcoders[layer].provenance, layer) for layer in layers}
    (source, target), *others = ends
    if others or source != "mlp_in" or target not in hooks.keys() - {source}:
        raise ValueError(
            f"these lead from {', '.join(f'{x} to {y}' for x, y in sorted(ends))}: circuit-tracer "
            "wants all from mlp_in to mlp_added"
        )
    equal = {layer: as_jumprelu(transcoders[layer]) for layer in layers}
    if len(widths := {len(tensors["W_dec"]) for tensors in equal.values()}) > 1:
        raise ValueError(f"circuit-tracer wants one width, these have {sorted(widths)} latents")
    if missing := sorted(set(range(layers[-1])) - set(layers)):
        warnings.warn(
            f"layers {', '.join(map(str, missing))} are missing: circuit-tracer loads a set only "
            "where each layer from 0 on has a transcoder",
            stacklevel=2,
        )
    folder.mkdir(parents=True, exist_ok=True)
    for layer, tensors in equal.items():
        named = {
            "W_enc": tensors["W_enc"].T,
            "activation_function.threshold": tensors["threshold"],
            **{name: tensors[name] for name in ("W_dec", "b_enc", "b_dec")},
            **({"W_skip": tensors["W_skip"].T} if "W_skip" in tensors else {}),
        }
        content = save({name: value.to(dtype).contiguous() for name, value in named.items()})
        write_atomic(folder / f"layer_{layer}.safetensors", content)
    config = {
        "model_kind": "transcoder_set",
        "model_name": model_name,
        "feature_input_hook": hooks[source],
        "feature_output_hook": hooks[target],
        "scan": folder.name,
    }
    write_atomic(folder / "config.yaml", (json.dumps(config, indent=1) + "\n").encode())
    return folder
