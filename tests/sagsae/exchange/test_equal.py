"""The autoencoder of SAELens that equals one of this library, against SAELens's formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.registry import VARIANTS
from sagsae.autoencoders.weights import class_of
from sagsae.exchange.saelens import SaelensWeights, saelens_weights
from sagsae.exchange.transcoders import NoEqualError


def drawn(name: str, d: int, width: int, seed: int, scale: float = 0.03):
    """A random autoencoder in float64, as it comes from training: thresholds above zero."""
    generator = torch.Generator().manual_seed(seed)
    sae = class_of(name)(d, width, scale).double()
    for key, value in sae.state_dict().items():
        if value.is_floating_point():
            value.copy_(0.3 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
        if key.startswith("the") or key == "threshold":
            value.abs_()
        if key == "k":
            value.fill_(max(1, width // 2))
    sae.params["W_dec"] /= sae.params["W_dec"].norm(dim=1, keepdim=True)
    return sae


def encoded(equal: SaelensWeights, x: Tensor) -> Tensor:
    """The code [B, K] of raw activations [B, d], by SAELens's formula of each architecture."""
    t = equal.tensors
    u = (x - t["b_dec"] if equal.settings["apply_b_dec_to_input"] else x) @ t["W_enc"]
    if equal.architecture == "gated":
        return (u + t["b_gate"] > 0) * torch.relu(t["r_mag"].exp() * u + t["b_mag"])
    pre = u + t["b_enc"]
    if equal.architecture == "standard":
        return pre.relu()
    if equal.architecture == "jumprelu":
        return pre.relu() * (pre > t["threshold"])
    signed = equal.architecture == "abstopk"
    chosen = (pre.abs() if signed else pre).topk(equal.settings["k"], dim=1).indices
    values = pre.gather(1, chosen)
    return torch.zeros_like(pre).scatter(1, chosen, values if signed else values.relu())


def check(sae: Autoencoder, rows: int = 50, seed: int = 0) -> None:
    """Compare codes, reconstructions and L0 on random activations."""
    equal = saelens_weights(sae)
    x = torch.randn(rows, sae.d, generator=torch.Generator().manual_seed(seed)).double() / sae.scale
    with torch.no_grad():
        z, x_hat = sae.code(x * sae.scale) / sae.scale, sae(x)
    f = encoded(equal, x)
    H = sae.width
    signed = f[:, :H] - f[:, H:] if equal.split else f
    assert len(equal.tensors["W_dec"]) == H * (1 + equal.split)
    torch.testing.assert_close(signed, z, rtol=1e-9, atol=1e-10 / sae.scale)
    decoded = f @ equal.tensors["W_dec"] + equal.tensors["b_dec"]
    torch.testing.assert_close(decoded, x_hat, rtol=1e-9, atol=1e-9 / sae.scale)
    assert int((f != 0).sum()) == int((z != 0).sum())


@pytest.mark.parametrize("name", sorted(VARIANTS))
@settings(max_examples=20)
@given(
    d=st.integers(1, 12),
    width=st.integers(1, 20),
    scale=st.floats(1e-3, 1e2),
    seed=st.integers(0, 2**31),
    centred=st.booleans(),
)
def test_saelens_computes_the_same_in_raw_units(name, d, width, scale, seed, centred):
    sae = drawn(name, d, width, seed, scale)
    if hasattr(sae, "centred"):
        sae.centred.fill_(int(centred))
    check(sae, seed=seed + 1)


@pytest.mark.parametrize("name", ["gated", "topk"])
def test_rows_that_are_not_of_unit_norm_are_refused(name):
    sae = drawn(name, 8, 12, 3)
    sae.params["W_dec"] *= 2
    with pytest.raises(NoEqualError, match="not of unit norm; call fold_norms"):
        saelens_weights(sae)
