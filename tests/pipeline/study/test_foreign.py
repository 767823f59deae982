"""Blocks of the grid whose autoencoders another library has trained."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from pipeline.analysis.numbers import looks, variant_label
from pipeline.study.cell import Cell
from pipeline.study.hub import hub_cells, read_by_hub
from pipeline.study.sections import CellNameError, ConfigError
from pipeline.study.study import Study
from pipeline.tools.cost import Requests
from tests.helpers.made_studies import configuration

SOURCE = {"kind": "saelens", "path": "theirs", "folder": "l1"}
BLOCK = {
    "variant": "foreign-theirs",
    "source": SOURCE,
    "width": 256,
    "lambdas": [1],
    "models": ["small"],
    "hookpoints": ["resid"],
}
CELL = Cell(model="small", hookpoint="resid", variant="foreign-theirs", width=256, lam=1, seed=0)


def study(tmp_path, **changes) -> Study:
    raw = configuration(results=str(tmp_path))
    return Study.from_dict(raw | {"grid": [*raw["grid"], BLOCK | changes]})


def test_a_block_is_one_cell_with_its_source_in_its_specification(tmp_path):
    found = study(tmp_path)
    assert CELL in found.cells
    spec = found.train_spec(CELL)
    assert spec.source.model_dump() == SOURCE
    assert spec.source.local_files == ["theirs/l1/cfg.json", "theirs/l1/sae_weights.safetensors"]
    other = next(cell for cell in found.cells if cell != CELL)
    assert found.train_spec(other).source is None
    assert "source" not in found.train_spec(other).model_dump()
    assert found.foreign == {CELL: spec.source}


def test_other_weights_at_the_same_place_are_another_cell(tmp_path):
    folder = tmp_path / "theirs" / "l1"
    folder.mkdir(parents=True)
    source = SOURCE | {"path": str(tmp_path / "theirs")}
    digests = []
    for weights in (b"one", b"two", b"one"):
        (folder / "cfg.json").write_text("{}")
        (folder / "sae_weights.safetensors").write_bytes(weights)
        os.utime(folder / "sae_weights.safetensors", (1, 1))
        digests.append(study(tmp_path, source=source).cell_made_for(CELL)["train"])
    assert digests[0] == digests[2] != digests[1]


def test_of_the_hub(tmp_path):
    source = {"kind": "dictionary_learning", "repo": "someone/saes", "revision": "c0ffee"}
    found = study(tmp_path, source=source).train_spec(CELL).source
    assert found.model_dump() == source
    assert found.local_files == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"source": None}, r"grid\.\d+\.source: say where 'foreign-theirs' comes from"),
        ({"variant": "gated"}, r"grid\.\d+\.variant: 'gated' is trained here"),
        ({"models": None}, r"grid\.\d+\.source: is one cell, and the block has 2"),
        ({"lambdas": [1, 2], "seeds": [0, 1]}, "the block has 4"),
        ({"recipes": ["default"]}, r"grid\.\d+\.recipes: what was trained elsewhere has none"),
        ({"source": {"kind": "saelens"}}, "repo: give exactly one of path and repo"),
        ({"source": SOURCE | {"repo": "a/b", "revision": "1"}}, "path: give exactly one of"),
        ({"source": SOURCE | {"revision": "1"}}, "a folder on this machine has none"),
        ({"source": {"kind": "saelens", "repo": "a/b"}}, "revision: name the commit"),
        ({"source": SOURCE | {"kind": "sparsify"}}, "should be 'saelens' or 'dictionary_learning'"),
        ({"variant": "foreign-Theirs"}, "unknown variant 'foreign-Theirs'"),
    ],
)
def test_faults(tmp_path, changes, fault):
    with pytest.raises(ConfigError, match=fault):
        study(tmp_path, **changes)


def test_a_cell_that_no_block_names_comes_from_nowhere(tmp_path):
    found = study(tmp_path)
    other = found.cell_named(replace(CELL, lam=2.0).path)
    with pytest.raises(CellNameError, match="says where it comes from; there is small/resid/fore"):
        found.train_spec(other)


def test_it_is_not_published_and_costs_no_training(tmp_path):
    found = study(tmp_path)
    assert CELL not in hub_cells(found)
    assert "figure" not in read_by_hub(found)
    plain = Study.from_dict(configuration(results=str(tmp_path)))
    assert Requests(found).cell(CELL).training == 0
    assert all(Requests(found).cell(cell) == Requests(plain).cell(cell) for cell in plain.cells)


def test_people_see_a_name_and_colour_of_what_is_not_registered():
    assert variant_label("foreign-their-saes") == "their-saes (foreign)"
    assert variant_label("their_zoo.sparse:TopK") == "TopK"
    styles = looks(["zoo:Other", "foreign-theirs", "gated"])
    assert [*styles] == ["gated", "foreign-theirs", "zoo:Other"]
    assert len(set(styles.values())) == 3
