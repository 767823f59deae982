"""Names of figures, what they draw, and what readers are told of them."""

from __future__ import annotations

import re

import pytest

from pipeline.analysis import paper_numbers
from pipeline.analysis.figures.catalogue import (
    FIGURES,
    PATTERN,
    SETTINGS,
    SWEEPS,
    VARIANTS,
    figures_of,
    parts,
    title_and_caption,
)
from pipeline.analysis.names import tables_of
from pipeline.analysis.views import VIEWS
from pipeline.study.study import Study
from tests.pipeline.made_families import families_config
from tests.pipeline.made_settings import settings_configuration

NAMES = [*FIGURES, *(name + VARIANTS for name in SWEEPS)]
CAPTIONS = {name: title_and_caption(name)[1] for name in NAMES}
CAPTIONS |= {name: view.reads for name, view in VIEWS.items() if view.reads}


@pytest.mark.parametrize("name", CAPTIONS)
def test_a_caption_has_two_short_sentences(name):
    caption = CAPTIONS[name]
    assert caption.endswith(".")
    assert len(re.findall(r"[.!?](?=\s|$)", caption)) <= 2, caption
    assert len(caption.split()) <= 45, caption


def test_a_name_says_what_is_shown():
    assert parts("figure_2_variants@zero") == ("figure_2", True, "zero")
    assert parts("figure_2") == ("figure_2", False, "")
    title = "Dead fraction against L0"
    assert title_and_caption("figure_2")[0] == title
    assert title_and_caption("figure_2_variants@zero")[0] == f"{title}, every variant, recipe zero"
    assert re.fullmatch(PATTERN, "figure_spec_gap")
    assert not re.fullmatch(PATTERN, "figure_99")


def test_captions_have_the_numbers_of_the_claims():
    said = " ".join(title_and_caption(name)[1] for name in SETTINGS)
    for number in ("MATCHED_WITHIN", "DEAD_LOWER_BY", "FEWER_DEAD_MLP", "FEWER_DEAD_OTHER"):
        assert f"{getattr(paper_numbers, number):g}" in said


def test_a_study_of_several_settings_has_their_figures_once(tmp_path):
    scope = Study.from_dict(settings_configuration(tmp_path)).scope
    found = figures_of(scope)
    assert found[:3] == tuple(SETTINGS)
    assert len(set(found)) == len(found)
    assert {"figure_2", "figure_2_variants@zero", "figure_curves"} < set(found)
    assert "figure_3_variants@zero" not in found, "of many recipes two figures each"


def test_a_study_of_one_recipe_has_the_figures_of_its_sweeps(built_study):
    assert figures_of(built_study.scope) == tuple(SWEEPS)


def test_figures_draw_tables_that_their_study_has(tmp_path):
    for raw in (settings_configuration(tmp_path), families_config(tmp_path, probe={})):
        scope = Study.from_dict(raw).scope
        known = set(tables_of(scope))
        for name in figures_of(scope):
            assert set(FIGURES[parts(name)[0]].tables) <= known, name
