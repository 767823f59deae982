"""The autoencoder of SAELens that equals one of this library, against SAELens's formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.gated import Gated
from sagsae.autoencoders.registry import VARIANTS, variant
from sagsae.autoencoders.sign_aware import FreeSignAware, TiedSignAware
from sagsae.autoencoders.topk import TopK
from sagsae.exchange.equal import NoEqualError, SaelensWeights, saelens_weights
from tests.their_package import installed


def drawn(name: str, d: int, width: int, seed: int, scale: float = 0.03, kind: type | None = None):
    """A random autoencoder in float64, as it comes from training: thresholds above zero."""
    generator = torch.Generator().manual_seed(seed)
    sae = (kind or variant(name))(d, width, scale).double()
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
        z, x_hat = sae.encode(x * sae.scale) / sae.scale, sae(x)
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


def test_matrices_and_logarithms_of_gains_are_kept_to_the_bit():
    sae = drawn("sagsae", 8, 12, 3).float()
    equal = {name: value.float() for name, value in saelens_weights(sae).tensors.items()}
    assert torch.equal(equal["W_enc"], torch.cat([sae.W_enc, -sae.W_enc], dim=1))
    assert torch.equal(equal["W_dec"], torch.cat([sae.W_dec, -sae.W_dec]))
    assert torch.equal(equal["r_mag"], torch.cat([sae.params["r_pos"], sae.params["r_neg"]]))
    assert torch.equal(equal["b_gate"][12:], (-sae.params["theta_neg"].double() / 0.03).float())
    assert torch.equal(equal["b_dec"], (sae.b_dec.double() / 0.03).float())


class Squared(TiedSignAware):
    """Another gate of a user's, in its ``sides`` alone: the negative side has half the gain."""

    name = "squared"

    def sides(self, v):
        theta, _, gain, _, c, _ = super().sides(v)
        return theta, theta + 0.1, gain, gain / 2, c, c


class Doubled(TiedSignAware):
    """More than its ``sides`` say: codes are doubled."""

    name = "doubled"

    def codes(self, u, v, z, a=None):
        sums = super().codes(u, v, z, a)
        z *= 2
        return sums


class OutsideIn(FreeSignAware):
    """A decoder of another kind."""

    name = "outside-in"

    def decode(self, z):
        return super().decode(z).flip(1)


class Shifted(TopK):
    """An activation of another kind."""

    name = "shifted"

    def activate(self, pre):
        return super().activate(pre + 1)


class NoGain(Gated):
    name = "no-gain"

    def sides(self, v):
        theta, never, gain, _, c, _ = super().sides(v)
        return theta, never, gain - 100, gain, c, c


def test_a_gate_of_ones_own_needs_no_code_for_it():
    sae = drawn("", 8, 12, 3, kind=Squared)
    check(sae, rows=200)
    r_mag = saelens_weights(sae).tensors["r_mag"]
    torch.testing.assert_close(r_mag[12:], r_mag[:12] - torch.log(torch.tensor(2.0).double()))


@pytest.mark.parametrize("kind", [Doubled, OutsideIn, Shifted])
def test_a_class_with_formulas_of_its_own_has_none(kind):
    with pytest.raises(NoEqualError, match=f"{kind.__name__} has its own"):
        saelens_weights(drawn("", 8, 12, 3, kind=kind))


def test_what_has_no_logarithm_is_refused():
    with pytest.raises(NoEqualError, match="no-gain: a weight is not finite, or a gain is not"):
        saelens_weights(drawn("", 8, 12, 3, kind=NoGain))


@pytest.mark.parametrize("name", ["gated", "topk"])
def test_rows_that_are_not_of_unit_norm_are_refused(name):
    sae = drawn(name, 8, 12, 3)
    sae.params["W_dec"] *= 2
    with pytest.raises(NoEqualError, match="not of unit norm; call fold_norms"):
        saelens_weights(sae)


@pytest.mark.parametrize("name", ["TopK", "PlainGated"])
def test_another_autoencoder_has_none(name, tmp_path, monkeypatch):
    with installed(tmp_path, monkeypatch) as module:
        sae = variant(f"{module}:{name}")(8, 12)
        with pytest.raises(NoEqualError, match=f"{name} has no gate and is of no family"):
            saelens_weights(sae)
