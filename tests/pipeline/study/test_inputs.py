"""Which jobs have to run, by the records of what they made; nothing is written while planning."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.jobs.json_files import write_json
from pipeline.study.inputs import Inputs
from pipeline.study.study import Study
from tests.helpers.made_studies import configuration
from tests.pipeline.data.test_features import CONFIG

MARKER = "the marker"


@pytest.fixture
def study(tmp_path) -> Study:
    return Study.from_dict(configuration(results=str(tmp_path)))


def inputs(study: Study, forced: bool = False) -> Inputs:
    return Inputs(study, MARKER, lambda: forced)


def test_a_cell_runs_again_where_its_record_is_gone_damaged_or_of_something_else(study):
    cell = study.cells[0]
    metrics = Path(study.metrics(cell))
    made_for = study.cell_made_for(cell)
    assert inputs(study).cell(cell)["configuration"] == MARKER
    write_json(metrics, {"made_from": made_for})
    assert "configuration" not in inputs(study).cell(cell)
    metrics.write_text(metrics.read_text().replace("made_from", "made_fron"))
    assert inputs(study).cell(cell)["configuration"] == MARKER
    write_json(metrics, {"made_from": made_for | {"train": "0" * 16}})
    before = metrics.stat().st_mtime_ns
    assert inputs(study).cell(cell)["configuration"] == MARKER
    assert metrics.stat().st_mtime_ns == before


def test_a_record_that_is_gone_repeats_no_current_job_but_a_forced_one(study):
    cell = study.cells[0]
    write_json(study.metrics(cell), {"made_from": study.cell_made_for(cell)})
    assert inputs(study).cell(cell) == {}
    names = {"train", "heldout", "asset", "baselines"}
    assert inputs(study, forced=True).cell(cell).keys() == names


def test_a_further_place_on_stored_hookpoints_measures_no_cell_again():
    hookpoints = ["mlp_in", "mlp_added"]
    made_for = []
    for more in ([], ["mlp_in->mlp_added"]):
        raw = configuration(hookpoints=hookpoints + more, dial={"hookpoints": ["mlp_added"]})
        raw["grid"] = [entry | {"hookpoints": hookpoints} for entry in raw["grid"]]
        study = Study.from_dict(raw)
        made_for.append([study.cell_made_for(cell) for cell in study.cells])
        made_for.append(study.scope.jobs("dial"))
    assert made_for[:2] == made_for[2:]
    assert study.losses["small"] != study.losses_at("small"), "its linear map is measured"


def test_cells_on_known_features_depend_on_the_rows_that_measure_them():
    """They have no language model, whose losses would name the held-out store."""
    rows = ({"heldout_rows": 512}, {"heldout_rows": 1024}, {"heldout_rows": 512})
    made_for = []
    for dump in rows:
        study = Study.from_dict(CONFIG | {"dump": CONFIG["dump"] | dump})
        made_for.append(study.cell_made_for(study.cells[0]))
    assert made_for[0] == made_for[2]
    assert made_for[0]["train"] == made_for[1]["train"]
    assert made_for[0]["evaluate"] != made_for[1]["evaluate"]


def test_rows_of_known_features_whose_cache_moved_are_recorded_anew(tmp_path):
    run = {"results": str(tmp_path / "results"), "cache": str(tmp_path / "cache")}
    study = Study.from_dict(CONFIG | run)
    model = study.config.models[0].name
    manifest = Path(study.manifest(model, "train"))
    entry = "../../../cache/stores/rows"
    write_json(manifest, {"spec": study.stores[model, "train"], "entry": entry})
    assert inputs(study).dump(model, "train") == {}
    moved = Study.from_dict(CONFIG | run | {"cache": str(tmp_path / "elsewhere")})
    assert inputs(moved).dump(model, "train") == {"configuration": MARKER}
