"""The Gated SAE that equals an autoencoder, against both formulas written down again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.autoencoders.gated import Gated
from sagsae.autoencoders.registry import GATED, of_family, variant
from sagsae.autoencoders.sign_aware import FreeSignAware, TiedSignAware
from sagsae.exchange.equal_gated import NoEqualError, equal_gated
from tests.sagsae.autoencoders import reference
from tests.their_package import installed

TWO_SIDED = set(of_family(GATED)) - {"gated", "sagsae_onesided"}


def drawn(name: str, d: int, width: int, seed: int, scale: float = 0.03, kind: type | None = None):
    """A random autoencoder in float32, as it comes from training: thresholds above zero."""
    generator = torch.Generator().manual_seed(seed)
    sae = (kind or variant(name))(d, width, scale)
    for key, value in sae.params.items():
        value.copy_(0.3 * torch.randn(value.shape, generator=generator))
        if key.startswith("theta"):
            value.abs_()
    sae.normalise_decoder()
    return sae


@pytest.mark.parametrize("name", of_family(GATED))
@settings(max_examples=20)
@given(
    d=st.integers(1, 12),
    width=st.integers(1, 20),
    scale=st.floats(1e-3, 1e2),
    seed=st.integers(0, 2**31),
)
def test_equals_the_formulas_in_raw_units(name, d, width, scale, seed):
    sae = drawn(name, d, width, seed, scale)
    x = torch.randn(50, d, generator=torch.Generator().manual_seed(seed + 1)).double() / scale
    params = {key: value.double() for key, value in sae.params.items()}
    z, _, _ = reference.CODES[name]((x * scale - params["b_dec"]) @ params["W_enc"], params)
    x_hat = (z @ params["W_dec"] + params["b_dec"]) / scale
    equal = equal_gated(sae)
    u = (x - equal.b_dec) @ equal.W_enc
    f = (u + equal.b_gate > 0) * torch.relu(equal.r_mag.exp() * u + equal.b_mag)
    torch.testing.assert_close(equal.encode(x), f)
    sides = (z.clamp(min=0), -z.clamp(max=0)) if name in TWO_SIDED else (z,)
    torch.testing.assert_close(f * scale, torch.cat(sides, dim=1), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(equal.decode(f), x_hat, rtol=1e-9, atol=1e-9 / scale)
    assert int((f != 0).sum()) == int((z != 0).sum())


def test_matrices_and_logarithms_of_gains_are_kept_to_the_bit():
    sae = drawn("sagsae", 8, 12, 3)
    equal = equal_gated(sae).to(torch.float32)
    assert torch.equal(equal.W_enc, torch.cat([sae.W_enc, -sae.W_enc], dim=1))
    assert torch.equal(equal.W_dec, torch.cat([sae.W_dec, -sae.W_dec]))
    assert torch.equal(equal.r_mag, torch.cat([sae.params["r_pos"], sae.params["r_neg"]]))
    assert torch.equal(equal.b_gate[12:], (-sae.params["theta_neg"].double() / 0.03).float())
    assert torch.equal(equal.b_dec, (sae.b_dec.double() / 0.03).float())


def test_the_autoencoder_is_left_as_it_is():
    sae = drawn("sagsae_tied", 8, 12, 3)
    before = {name: value.clone() for name, value in sae.params.items()}
    equal = equal_gated(sae).to(torch.float32)
    equal.W_dec.zero_(), equal.b_dec.zero_()
    for name, value in sae.params.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name]), name


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


class NoGain(Gated):
    name = "no-gain"

    def sides(self, v):
        theta, never, gain, _, c, _ = super().sides(v)
        return theta, never, gain - 100, gain, c, c


def test_a_gate_of_ones_own_needs_no_code_for_it():
    sae = drawn("", 8, 12, 3, kind=Squared)
    equal = equal_gated(sae)
    torch.testing.assert_close(
        equal.r_mag[12:], equal.r_mag[:12] - torch.log(torch.tensor(2.0).double())
    )
    x = 40 * torch.randn(100, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    f = equal.encode(x)
    z = sae.double().encode(x * sae.scale) / sae.scale
    torch.testing.assert_close(f[:, :12] - f[:, 12:], z)
    assert int((f[:, 12:] > 0).sum()) > 50


@pytest.mark.parametrize("kind", [Doubled, OutsideIn])
def test_a_class_that_computes_more_than_its_sides_has_none(kind):
    with pytest.raises(NoEqualError, match=f"{kind.__name__} computes something else"):
        equal_gated(drawn("", 8, 12, 3, kind=kind))


def test_what_has_no_logarithm_is_refused():
    with pytest.raises(NoEqualError, match="no-gain: a weight is not finite, or a gain is not"):
        equal_gated(drawn("", 8, 12, 3, kind=NoGain))


def test_rows_that_are_not_of_unit_norm_are_refused():
    sae = drawn("gated", 8, 12, 3)
    sae.params["W_dec"] *= 2
    with pytest.raises(NoEqualError, match="not of unit norm; call fold_norms"):
        equal_gated(sae)
    sae.fold_norms()
    assert equal_gated(sae).W_dec.shape == (12, 8)


def test_latents_that_never_open_and_rows_of_zeros_are_no_fault():
    sae = drawn("sagsae", 8, 12, 3)
    sae.params["W_enc"][:, 3] = 0
    sae.params["theta_pos"][5] = 1e6
    assert replace(equal_gated(sae)).W_enc[:, 15].abs().sum() == 0


def test_a_gate_at_its_very_threshold_is_no_fault():
    """Orthogonal rows: most products would be zero but for rounding, and so are the thresholds."""
    sae = drawn("sagsae_tied", 8, 8, 3)
    rows = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))[0]
    sae.params["W_dec"].copy_(rows)
    sae.params["W_enc"].copy_(rows.T)
    sae.params["theta"].zero_()
    sae.params["c"].fill_(0.5)
    assert equal_gated(sae).W_enc.shape == (8, 16)


@pytest.mark.parametrize("name", ["TopK", "PlainGated"])
def test_another_autoencoder_has_none(name, tmp_path, monkeypatch):
    with installed(tmp_path, monkeypatch) as module:
        sae = variant(f"{module}:{name}")(8, 12)
        with pytest.raises(NoEqualError, match=f"{name} has no gate and is of no family"):
            equal_gated(sae)
