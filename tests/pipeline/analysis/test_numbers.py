"""How people see variants and signs: one colour means one thing."""

from __future__ import annotations

from pipeline.analysis.numbers import LOOKS, NEGATIVE_COLOUR, OTHER_COLOURS, POSITIVE_COLOUR
from sagsae.autoencoders.registry import stem


def test_no_variant_has_the_colour_of_a_sign():
    of_variants = {look.colour for look in LOOKS.values()} | set(OTHER_COLOURS)
    assert not of_variants & {POSITIVE_COLOUR, NEGATIVE_COLOUR}


def test_variants_share_a_colour_in_a_family_alone():
    for name, look in LOOKS.items():
        alike = {other for other, its in LOOKS.items() if its.colour == look.colour}
        assert {stem(other) for other in alike} == {stem(name)}


def test_no_two_variants_look_the_same():
    assert len({(look.colour, look.marker) for look in LOOKS.values()}) == len(LOOKS)
