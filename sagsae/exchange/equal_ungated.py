"""What SAELens calls an autoencoder without a gate, in the units of raw activations.

| here | SAELens | |
|---|---|---|
| ``relu`` | ``standard`` | |
| ``absrelu`` | ``standard`` of 2H latents | biases ``b - t`` and ``-b - t``, t the threshold |
| ``topk``, ``abstopk`` | ``topk``, ``abstopk`` | the same k |
| ``batchtopk``, ``matryoshka_batchtopk`` | ``jumprelu`` | as SAELens saves its own |
| ``jumprelu`` | ``jumprelu`` | |
| ``absbatchtopk``, ``absjumprelu``, ``matryoshka_absbatchtopk`` | ``jumprelu`` of 2H latents | |

A two-sided latent (w, b, v) is (w, b, v) and (-w, -b, -v) where SAELens has no two-sided form. The
scale s is taken out: biases and thresholds are divided by s and the matrices stay.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagsae.autoencoders.batchtopk import BatchTopK
from sagsae.autoencoders.jumprelu import JumpRelu
from sagsae.autoencoders.relu import Relu
from sagsae.autoencoders.topk import TopK
from sagsae.autoencoders.ungated import UngatedAutoencoder
from sagsae.exchange.equal_gated import AGREES, UNIT, NoEqualError

TRIED = 256
"""Random activations on which both are compared."""


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

    def encode(self, x: Tensor) -> Tensor:
        """The code [B, K] of activations [B, d], as SAELens computes it."""
        read = x - self.tensors["b_dec"] if self.settings["apply_b_dec_to_input"] else x
        pre = read @ self.tensors["W_enc"] + self.tensors["b_enc"]
        if self.architecture == "standard":
            return pre.relu()
        if self.architecture == "jumprelu":
            return pre.relu() * (pre > self.tensors["threshold"])
        signed = self.architecture == "abstopk"
        chosen = (pre.abs() if signed else pre).topk(self.settings["k"], dim=1).indices
        kept = pre.gather(1, chosen)
        return torch.zeros_like(pre).scatter(1, chosen, kept if signed else kept.relu())


def equal_ungated(sae: UngatedAutoencoder) -> SaelensWeights:
    """The autoencoder of SAELens that computes what one without a gate does, on the CPU.

    Raises:
        NoEqualError: its class is of no family that SAELens has, its decoder rows are not of unit
            norm, or it computes something else than its family.
    """
    values = {name: value.detach().double().cpu() for name, value in sae.state_dict().items()}
    if bool(((values["W_dec"].norm(dim=1) - 1).abs() > UNIT).any()):
        raise NoEqualError(f"{sae.name}: rows of W_dec are not of unit norm; call finish() first")
    names = ("W_enc", "W_dec", "b_enc", "b_dec")
    tensors = {name: values[name] for name in names}
    settings: dict[str, Any] = {}
    if isinstance(sae, TopK):
        architecture = "abstopk" if sae.two_sided else "topk"
        settings = {"k": int(sae.k), "rescale_acts_by_decoder_norm": False}
    elif isinstance(sae, Relu):
        architecture = "standard"
    elif isinstance(sae, BatchTopK | JumpRelu):
        architecture = "jumprelu"
        tensors["threshold"] = values["threshold"].expand(sae.width).clone()
    else:
        raise NoEqualError(f"{sae.name}: {type(sae).__name__} is of no family that SAELens has")
    split = sae.two_sided and architecture != "abstopk"
    if split:
        tensors = _both_sides(tensors, values.get("threshold") if isinstance(sae, Relu) else None)
    for name in ("b_enc", "b_dec", "threshold"):
        if name in tensors:
            tensors[name] = tensors[name] / sae.scale
    settings["apply_b_dec_to_input"] = bool(int(sae.centred))
    found = SaelensWeights(architecture, tensors, settings, split)
    _require_agreement(sae, found)
    return found


def _both_sides(tensors: dict[str, Tensor], shrinks: Tensor | None) -> dict[str, Tensor]:
    """Twice the latents: the positive sides before the negative ones."""
    by = 0.0 if shrinks is None else shrinks
    both = {
        "W_enc": torch.cat([tensors["W_enc"], -tensors["W_enc"]], dim=1),
        "W_dec": torch.cat([tensors["W_dec"], -tensors["W_dec"]]),
        "b_enc": torch.cat([tensors["b_enc"] - by, -tensors["b_enc"] - by]),
        "b_dec": tensors["b_dec"],
    }
    if "threshold" in tensors:
        both["threshold"] = tensors["threshold"].repeat(2)
    return both


def _require_agreement(sae: UngatedAutoencoder, found: SaelensWeights) -> None:
    """Compare both on random activations: a class may compute more than its family."""
    twin = deepcopy(sae).double().cpu()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(TRIED, sae.d, generator=generator, dtype=torch.float64) / sae.scale
    with torch.no_grad():
        z = twin.encode(x * sae.scale) / sae.scale
    f = found.encode(x)
    theirs = f[:, : sae.width] - f[:, sae.width :] if found.split else f
    if not bool((theirs - z).norm() <= AGREES * z.norm()):
        raise NoEqualError(
            f"{sae.name}: {type(sae).__name__} computes something else than its family, so it has "
            "no equal in SAELens"
        )
