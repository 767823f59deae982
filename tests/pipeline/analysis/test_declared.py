"""Tables and figures are declared once: names, what they are made from, what readers are told."""

from __future__ import annotations

import re

import pytest

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.figure import (
    VARIANTS,
    all_figures,
    figures_of,
    parts,
    pattern,
    title_and_caption,
)
from pipeline.analysis.figures import specification
from pipeline.analysis.numbers import LOOKS
from pipeline.analysis.table import Source, Table, all_tables, make_tables, table_of, tables_of
from pipeline.study.study import Study
from sagsae.autoencoders import registry
from tests.helpers.made_studies import families_config, settings_configuration

SWEEPS = ["figure_r2", "figure_2", "figure_3", "figure_11"]
SPECIFICATIONS = ["figure_spec_gap", "figure_spec_dead", "figure_spec_reduction"]
NAMES = [*all_figures(), *(name + VARIANTS for name in SWEEPS)]
CAPTIONS = {name: title_and_caption(name)[1] for name in NAMES}
CAPTIONS |= {found.path: found.reads for found in all_tables() if found.reads}


@pytest.mark.parametrize("name", CAPTIONS)
def test_a_caption_is_a_few_sentences(name):
    caption = CAPTIONS[name]
    assert caption.endswith(".")
    assert len(re.findall(r"[.!?](?=\s|$)", caption)) <= 5, caption
    assert len(caption.split()) <= 90, caption


def test_a_name_says_what_is_shown():
    found, cut = parts("figure_2_variants@zero")
    assert (found.name, cut.everything, cut.recipe) == ("figure_2", True, "zero")
    title = "Dead fraction against L0"
    assert title_and_caption("figure_2")[0] == title
    assert title_and_caption("figure_2_variants@zero")[0] == f"{title}, every variant, recipe zero"
    assert re.fullmatch(pattern(), "figure_spec_gap")
    assert not re.fullmatch(pattern(), "figure_99")


def test_captions_have_the_numbers_of_the_claims():
    said = " ".join(title_and_caption(name)[1] for name in SPECIFICATIONS)
    for number in ("MATCHED_WITHIN", "DEAD_LOWER_BY", "FEWER_DEAD_MLP", "FEWER_DEAD_OTHER"):
        assert f"{getattr(specification, number):g}" in said


def test_every_registered_variant_has_a_look_of_its_own():
    assert list(LOOKS) == list(registry.VARIANTS)
    assert len(set(LOOKS.values())) == len(LOOKS)


def test_a_study_of_several_settings_has_their_figures_once(tmp_path):
    names = figures_of(Study.from_dict(settings_configuration(tmp_path)).scope)
    assert names[:3] == SPECIFICATIONS
    assert len(set(names)) == len(names)
    assert {"figure_2", "figure_2_variants@zero", "figure_curves"} < set(names)
    assert "figure_3_variants@zero" not in names, "of many recipes two figures each"


def test_a_study_of_one_recipe_has_the_figures_of_its_sweeps(built_study):
    assert figures_of(built_study.scope) == SWEEPS


def test_figures_draw_tables_that_their_study_has(tmp_path):
    for raw in (settings_configuration(tmp_path), families_config(tmp_path, probe={})):
        scope = Study.from_dict(raw).scope
        for name in figures_of(scope):
            assert set(parts(name)[0].tables) <= set(tables_of(scope)), name


def test_types_are_those_that_a_table_declares():
    texts = ["model", "l0_64_reason", "overlap_reason", "collapsed"]
    names = [*texts, "baseline_variant", "width", "dominates", "l0_64_r2_candidate"]
    expected = dict.fromkeys([*texts, "baseline_variant"], "str") | {"dominates": "boolean"}
    assert table_of("comparison.csv").types(names) == expected


def test_a_table_that_nothing_declares_is_no_table(tmp_path):
    file = tmp_path / "unknown.csv"
    file.write_text("a\n1\n")
    with pytest.raises(ValueError, match=r"unknown\.csv: no table of this name is declared"):
        read_table(file)


def test_what_a_table_asks_for_must_be_there(built_study):
    source = Source("odd", open=lambda known, root: {"metrics": {}})
    table = Table("odd", "Odd")
    table.made_from(source)(lambda sweeps: sweeps)
    with pytest.raises(ValueError, match="a table asks for 'sweeps'; there is metrics, odd"):
        make_tables([table], {"metrics": {}}, built_study.scope)
