"""What SAELens calls an autoencoder of this library, in the units of raw activations.

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

A two-sided latent ``(w, theta+, theta-, r+, r-, c+, c-, v)`` of a gate is two gated ones:
``(w, b_gate = -theta+, r_mag = r+, b_mag = c+, v)`` and
``(-w, b_gate = -theta-, r_mag = r-, b_mag = c-, -v)``. Both thresholds are non-negative, so
the two never fire together. Without a gate, (w, b, v) is (w, b, v) and (-w, -b, -v).

The scale s of the activations is taken out: biases and thresholds are divided by s and the matrices
stay, so that decoder rows keep unit norm and codes are in the units of the activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gate import GatedAutoencoder
from sagsae.autoencoders.registry import VARIANTS
from sagsae.autoencoders.relu import Relu
from sagsae.autoencoders.topk import TopK
from sagsae.autoencoders.ungated import UngatedAutoencoder

# How far from 1 the norm of a decoder row may be.
UNIT = 1e-3
# Tensors that are in the units of the activations.
IN_UNITS = ("b_enc", "b_dec", "b_gate", "b_mag", "threshold")


class NoEqualError(ValueError):
    """An autoencoder that no autoencoder of SAELens equals; the message says why."""


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
    found = _gated(sae, values) if isinstance(sae, GatedAutoencoder) else _ungated(sae, values)
    for name in found.tensors.keys() & set(IN_UNITS):
        found.tensors[name] = found.tensors[name] / sae.scale
    if not all(bool(value.isfinite().all()) for value in found.tensors.values()):
        raise NoEqualError(f"{sae.name}: a weight is not finite")
    return found


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
