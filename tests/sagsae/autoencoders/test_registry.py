"""What the registry says of variants is true of their classes."""

from __future__ import annotations

import pytest

from sagsae.autoencoders.registry import VARIANTS, sides, stem, stems, variant


@pytest.mark.parametrize("name", VARIANTS)
def test_sides_are_those_of_the_class(name):
    assert sides(name) == 1 + variant(name).two_sided


@pytest.mark.parametrize("name", VARIANTS)
def test_a_stem_has_one_side_and_the_same_penalty(name):
    own = stem(name)
    assert stem(own) == own
    assert sides(own) == 1
    assert VARIANTS[own].family == VARIANTS[name].family
    assert VARIANTS[own].knob == VARIANTS[name].knob
    if VARIANTS[name].sides == 2:
        assert own != name


def test_stems_are_in_the_order_of_legends():
    assert stems(["absrelu", "abstopk", "sagsae_tied", "topk"]) == ["gated", "relu", "topk"]
    assert stems(VARIANTS) == [
        *("gated", "relu", "topk", "batchtopk", "jumprelu", "matryoshka_batchtopk"),
    ]


def test_nothing_is_known_of_what_is_not_registered():
    name = "their_package:Class"
    assert (stem(name), sides(name), stems([name, "foreign-x"])) == (name, None, [])
