"""Names at line ends: apart from one another, in order, and as near as can be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pipeline.figures.line_ends import LineEnd, name_ends, spread

places = st.lists(st.floats(-0.5, 1.5), max_size=12).map(np.array)
EPS = 1e-9


@given(places, st.floats(0, 0.3))
def test_they_are_apart_inside_and_in_order(wanted, least):
    found = spread(wanted, least, 0.0, 1.0)
    assert found.shape == wanted.shape
    assert ((found >= -EPS) & (found <= 1 + EPS)).all()
    room = min(least, 1 / max(wanted.size - 1, 1))
    gaps = np.diff(np.sort(found))
    assert (gaps >= room - EPS).all()
    for i, j in itertools.permutations(range(wanted.size), 2):
        if wanted[i] < wanted[j]:
            assert found[i] < found[j] + EPS


@given(places.filter(lambda wanted: wanted.size > 0), st.floats(0.001, 0.05), st.data())
def test_no_other_places_are_nearer(wanted, least, data):
    """Any move towards other places that are allowed costs more."""
    found = spread(wanted, least, 0.0, 1.0)
    order = np.argsort(wanted, kind="stable")
    other = np.empty_like(found)
    given_ = data.draw(st.lists(st.floats(0, 1), min_size=found.size, max_size=found.size))
    other[order] = spread(np.sort(np.array(given_)), least, 0.0, 1.0)
    cost, theirs = (np.square(one - wanted).sum() for one in (found, other))
    assert cost <= theirs + EPS


def test_places_that_are_free_are_kept():
    wanted = np.array([0.9, 0.1, 0.5])
    assert spread(wanted, 0.2, 0.0, 1.0).tolist() == wanted.tolist()
    assert spread(np.array([0.5, 0.5]), 0.2, 0.0, 1.0) == pytest.approx([0.4, 0.6])
    assert spread(np.array([1.0, 1.0, 1.0]), 0.2, 0.0, 1.0) == pytest.approx([0.6, 0.8, 1.0])


def test_no_name_covers_another():
    """In a real panel, as it is drawn: twelve lines that end at nearly one point."""
    figure = Figure(figsize=(4, 2.6), layout="constrained")
    panel = figure.subplots()
    panel.set_xscale("log")
    ends = [
        LineEnd(text=f"Variant {i}", colour="black", x=100.0, y=0.5 + i / 1000) for i in range(12)
    ]
    for end in ends:
        panel.plot([10, end.x], [0.1, end.y])
    figure.draw_without_rendering()
    name_ends(panel, ends, panel.bbox.height / figure.dpi * 72)
    figure.draw_without_rendering()
    texts = [text.get_text() for text in panel.texts]
    assert texts == [end.text for end in ends]
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in panel.texts)
    tops = [panel.transAxes.transform(text.xyann)[1] for text in panel.texts]
    assert tops == sorted(tops)
    height = 7 * figure.dpi / 72
    assert min(np.diff(tops)) >= height
