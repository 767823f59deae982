"""What the registry says of variants is true of their classes, and so are costs by formula."""

from __future__ import annotations

import pytest

from sagsae.autoencoders.gated import break_even_share
from sagsae.autoencoders.registry import VARIANTS, sides, stem
from sagsae.autoencoders.weights import build, class_of


@pytest.mark.parametrize("name", VARIANTS)
def test_sides_are_those_of_the_class(name):
    assert sides(name) == 1 + class_of(name).two_sided


@pytest.mark.parametrize("name", VARIANTS)
def test_a_stem_has_one_side_and_the_same_penalty(name):
    own = stem(name)
    assert stem(own) == own
    assert sides(own) == 1
    assert VARIANTS[own].family == VARIANTS[name].family
    assert VARIANTS[own].knob == VARIANTS[name].knob
    if VARIANTS[name].sides == 2:
        assert own != name


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
