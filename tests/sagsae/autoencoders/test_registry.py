"""What the registry says of variants is true of their classes."""

from __future__ import annotations

import pytest

from sagsae.autoencoders.registry import VARIANTS, sides, stem
from sagsae.autoencoders.weights import class_of


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
