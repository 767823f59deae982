"""Names of cells: one spelling each, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.study.cell import Cell
from pipeline.study.places import Place
from pipeline.study.sections import CellNameError, lambda_tag

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,12}", fullmatch=True)
lambdas = st.floats(1e-9, 1e9).map(lambda value: float(format(value, "g")))
hookpoints = st.from_regex(r"[a-z0-9][a-z0-9_]{0,12}", fullmatch=True)
layers = st.none() | st.integers(0, 10**6)
places = st.builds(Place, hookpoints, st.just("") | hookpoints, layers)
cells = st.builds(
    Cell,
    model=names,
    hookpoint=places.map(lambda place: place.name),
    variant=names,
    width=st.integers(1, 10**7),
    lam=lambdas,
    seed=st.integers(0, 10**6),
)


@given(cells)
def test_round_trip(cell):
    assert Cell.from_path(cell.path) == cell
    assert cell.place.name == cell.hookpoint


@given(places)
def test_places_are_read_as_they_are_written(place):
    assert Place.named(place.name) == place


@pytest.mark.parametrize(
    ("lam", "right"),
    [("3e-3", "0.003"), ("0.10", "0.1"), ("1.0", "1"), ("1E-5", "1e-05"), ("+1", "1"), ("01", "1")],
)
def test_other_spellings_are_told_the_right_one(lam, right):
    with pytest.raises(CellNameError, match=f"ask for lam{right}$"):
        Cell.from_path(f"m/attn/gated/w8_lam{lam}_seed0")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("m/attn/gated/w08_lam0.1_seed0", None),
        ("m/attn/gated/w0_lam0.1_seed0", None),
        ("m/attn/gated/w8_lam0.1_seed-1", None),
        ("m/attn/gated/w8_lam0.1", None),
        ("../m/attn/gated/w8_lam0.1_seed0/..", None),
        ("m/attn/topk/w256_k08_seed0", "not canonical: give a plain integer"),
        ("m/attn/topk/w256_k0_seed0", "at least one latent is active"),
        ("m/attn/topk/w256_8_seed0", "neither lam<lambda> nor k<k>"),
    ],
)
def test_malformed_names(path, message):
    with pytest.raises(CellNameError, match=message):
        Cell.from_path(path)


def test_a_lambda_that_no_tag_holds_is_refused():
    with pytest.raises(CellNameError, match=r"round it to 0\.123457"):
        lambda_tag(0.1234567)
