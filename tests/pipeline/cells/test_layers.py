"""Layers of one pass, from the store to metrics, by the real stages."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from pipeline.data.manifests import open_store
from pipeline.jobs.json_files import read_json
from pipeline.study.outputs import SPLITS
from pipeline.study.study import Study
from pipeline.tools.cost import Requests
from tests.helpers.real_study import CONFIG, WholeStudy, configuration, make_whole_study

MODEL = {key: value for key, value in CONFIG["models"][0].items() if key != "layer"}
KEEPS_ALL = {"dump": CONFIG["dump"] | {"max_norm_ratio": 1e9}, "hookpoints": ["resid"]}
MEASURED = ("l0", "r2", "sse", "ce_sae", "ce_zero", "ce_mean", "ce_clean", "kl", "dead_latents")


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layered")
    return make_whole_study(folder, models=[MODEL | {"layers": [0, 1]}], **KEEPS_ALL)


@pytest.mark.parametrize("layer", [0, 1])
def test_cells_are_those_of_a_study_of_one_layer(layered, layer, tmp_path):
    """Bit for bit, where the rules drop no token: then both keep the same rows."""
    alone = make_whole_study(tmp_path, models=[MODEL | {"layer": layer}], **KEEPS_ALL)
    record = read_json(layered.study.baselines("m"))
    assert record["layer"] == 0
    assert not record["resume_note"]
    assert len(alone.study.cells) == 2
    for cell in alone.study.cells:
        there = layered.root / "cells" / cell.path.replace("resid", f"l{layer}.resid")
        weights, expected = (load_file(at / "sae.safetensors") for at in (there, alone.cell(cell)))
        assert weights.keys() == expected.keys()
        assert all(weights[name].equal(expected[name]) for name in expected)
        metrics, wanted = (read_json(at / "metrics.json") for at in (there, alone.cell(cell)))
        assert {name: metrics[name] for name in MEASURED} == {k: wanted[k] for k in MEASURED}


def test_rows_for_training_may_be_int8_and_held_out_rows_are_not(layered, tmp_path):
    changes = {"models": [MODEL | {"layers": [0, 1]}], "hookpoints": ["resid"]}
    dump = KEEPS_ALL["dump"] | {"dtype": "int8"}
    made = make_whole_study(tmp_path, dump=dump, **changes)
    train, heldout = (open_store(Path(made.study.manifest("m", split))) for split in SPLITS)
    assert (train.config.int8, heldout.config.int8) == (True, False)
    manifests = [Path(of.study.manifest("m", "heldout")) for of in (made, layered)]
    assert len({read_json(manifest)["sha256"] for manifest in manifests}) == 1
    assert made.study.stores["m", "heldout"] == layered.study.stores["m", "heldout"]
    cost, usual = (Requests(of.study).dump("m", "train").disk for of in (made, layered))
    assert cost == usual * (32 + 2) / 64
    for cell in made.study.cells:
        found, expected = (
            read_json(of.root / "cells" / cell.path / "metrics.json") for of in (made, layered)
        )
        assert found["r2"] != expected["r2"]
        assert found["r2"] == pytest.approx(expected["r2"], abs=0.01)


def test_stores_have_both_ends_of_a_transcoder_and_baselines_replace_the_target(tmp_path):
    source = MODEL["source"] | {"architecture": "llama"}
    model = MODEL | {"source": source, "layers": [0, 1]}
    own = {"mlp_in": "model.layers.{layer}.mlp:input", "out": "model.layers.{layer}.mlp"}
    places = {"hookpoints": ["mlp_in->mlp_added"]}, {"hookpoints": ["mlp_in->out"]}
    records = []
    for number, (hookpoints, given) in enumerate(zip(places, ({}, own), strict=True)):
        changes = {"models": [model | {"hookpoints": given}], **hookpoints}
        raw = configuration(tmp_path / str(number)) | changes
        made = WholeStudy(Study.from_dict(raw))
        made.make_all_but_cells()
        manifest = read_json(made.study.manifest("m", "heldout"))
        records.append(read_json(made.study.baselines("m"))["hookpoints"])
        assert sorted(manifest["hookpoints"]) == made.study.dump_spec("m", "train").hookpoints
    known, named = records
    assert list(known) == ["l0.mlp_added", "l1.mlp_added"]
    assert list(named) == ["l0.out", "l1.out"]
    assert [known[name] for name in known] == [named[name] for name in named]
    assert known["l0.mlp_added"]["sum_zero"] != known["l1.mlp_added"]["sum_zero"]
