"""Parameters counted by formula equal those that are allocated; the break-even share is one."""

from __future__ import annotations

import pytest

from sagsae.autoencoders.gated import break_even_share
from sagsae.autoencoders.registry import VARIANTS
from sagsae.autoencoders.weights import build


@pytest.mark.parametrize("name", sorted(VARIANTS))
@pytest.mark.parametrize(("d", "width"), [(1, 1), (16, 40), (7, 3), (5, 5)])
def test_the_formula_counts_what_is_allocated(name, d, width):
    sae = build(name, d, width)
    assert sae.parameter_count() == sae.parameters_per_latent() * width + d
    wider = build(name, d, width + 1)
    assert wider.parameter_count() - sae.parameter_count() == sae.parameters_per_latent()


def test_break_even_at_the_width_of_the_papers_models():
    assert break_even_share("sagsae", 2048) == pytest.approx(3 / 4099)  # 0.07 %
    assert break_even_share("sagsae_sym", 2048) == pytest.approx(2 / 4099)
    assert break_even_share("sagsae_tied", 2048) == 0
    assert break_even_share("gated", 2048) is None
    assert break_even_share("sagsae_onesided", 2048) is None
