"""A study's cells for SAELens, and the folder for the hub, made by the stages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import CommitOperationAdd, ModelCard
from huggingface_hub.repocard import metadata_load
from huggingface_hub.utils import validate_repo_id
from safetensors.torch import load_file

import sagsae
from pipeline.__main__ import main as run
from pipeline.cells.looks import EvaluationError
from pipeline.jobs.json_files import canonical, read_json
from pipeline.study.cell import Cell
from pipeline.study.study import Study
from pipeline.tools.hub.folder import main as make_folder
from sagsae.exchange.saelens import saelens_weights
from sagsae.exchange.transcoders import NoEqualError
from tests.helpers.real_study import CELL, WholeStudy, configuration, make_whole_study
from tests.their_package import installed

GRID = [
    {"variant": "sagsae_tied", "width": 24, "lambdas": [0.1, 0.2], "hookpoints": ["resid"]},
    {"variant": "gated", "width": 48, "lambdas": [0.1], "hookpoints": ["mlp_out"]},
]
GATED = Cell(model="m", hookpoint="mlp_out", variant="gated", width=48, lam=0.1, seed=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> WholeStudy:
    return make_whole_study(tmp_path_factory.mktemp("whole"), grid=GRID)


def with_hub(whole: WholeStudy, **hub: object) -> Study:
    """The same study with a section hub."""
    changes = {"grid": GRID, "note": "A test.", "hub": hub}
    return Study.from_dict(configuration(whole.root.parent) | changes)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def export(made: WholeStudy, cell: Cell, out: Path) -> None:
    spec, weights = canonical(made.study.export_spec(cell)), made.cell(cell) / "sae.safetensors"
    arguments = ["--spec", spec, "--weights", str(weights), "--asset", made.study.asset("m")]
    arguments += ["--documents", made.study.documents, "--out", str(out / "cfg.json")]
    run(["export", *arguments])


def test_a_cell_for_saelens_by_the_stage(whole, tmp_path):
    study = whole.study
    export(whole, CELL, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "cfg.json").read_text())
    assert (config["architecture"], config["d_in"], config["d_sae"]) == ("gated", 32, 48)
    found = config["metadata"]
    asset = read_json(study.asset("m"))
    assert found["cell"] == CELL.path
    assert (found["hook_name"], found["hook_layer"]) == ("blocks.1.hook_resid_post", 1)
    assert found["hf_hook_name"] == "gpt_neox.layers.1"
    assert (found["model_name"], found["model_revision"]) == ("m", None)
    assert found["model_weights_sha256"] == asset["weights_sha256"]
    assert (found["context_size"], found["seqpos_slice"]) == (16, [1, None])
    assert found["dropped_positions"][1].startswith("tokens whose norm exceeds 10 medians")
    assert (found["prepend_bos"], found["start_token"]) == (True, "bos")
    assert (found["dataset_path"], found["dataset_revision"]) == ("random words", "seed 0")
    assert found["sagsae"]["version"] == sagsae.__version__
    weights = load_file(tmp_path / "out" / "sae_weights.safetensors")
    equal = saelens_weights(sagsae.load(whole.cell() / "sae.safetensors"))
    for name, value in equal.tensors.items():
        assert torch.equal(weights[name], value.float()), name


def test_the_folder_holds_what_is_named(whole, tmp_path):
    study = with_hub(whole, cells=["*/gated/*", CELL.path], repo="someone/saes", license="mit")
    (tmp_path / "figure_r2.png").write_bytes(b"\x89PNG")
    card, figure = tmp_path / "hub" / "README.md", tmp_path / "figure_r2.png"
    make_folder(study.configuration, card, figure)
    names = ("cfg.json", "metrics.json", "sae.safetensors", "sae_weights.safetensors")
    expected = {f"{cell.path}/{name}" for cell in (GATED, CELL) for name in names}
    assert files(tmp_path / "hub") == expected | {"README.md", "figure_r2.png"}
    for cell in (GATED, CELL):
        ours = sagsae.load(tmp_path / "hub", cell.path)
        own = sagsae.load(whole.cell(cell) / "sae.safetensors")
        assert all(torch.equal(value, own.params[name]) for name, value in ours.params.items())
    (tmp_path / "hub" / "stale").touch()
    make_folder(study.configuration, card)
    assert files(tmp_path / "hub") == expected | {"README.md"}


def test_the_hubs_client_accepts_it(whole, tmp_path):
    """What `hf upload` checks before it sends anything."""
    study = with_hub(whole, repo="someone/saes", license="apache-2.0")
    card = tmp_path / "hub" / "README.md"
    make_folder(study.configuration, card)
    validate_repo_id(study.config.hub.repo)
    found = ModelCard.load(card)
    assert found.data.to_dict() == metadata_load(card)
    assert (found.data.library_name, found.data.license) == ("saelens", "apache-2.0")
    assert {"saelens", "sparse-autoencoder"} <= set(found.data.tags)
    assert "base_model" not in found.data.to_dict()
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=tmp_path / "hub" / name)
        for name in files(tmp_path / "hub")
    ]
    assert len(operations) == 3 * 4 + 1
    assert all(operation.upload_info.size > 0 for operation in operations)


def test_a_class_without_an_equal_is_in_the_folder_for_this_library_alone(
    whole, tmp_path, monkeypatch
):
    with installed(tmp_path / "site", monkeypatch) as module:
        made = make_whole_study(
            tmp_path / "whole",
            grid=[{"variant": f"{module}:TopK", "width": 24, "lambdas": [0.1]}],
            hookpoints=["resid"],
        )
        (cell,) = made.study.cells
        with pytest.raises(NoEqualError, match="only registered variants"):
            export(made, cell, tmp_path / "no")
        card = tmp_path / "hub" / "README.md"
        make_folder(made.study.configuration, card)
        assert files(card.parent) == {
            "README.md",
            f"{cell.path}/metrics.json",
            f"{cell.path}/sae.safetensors",
        }
        assert "No folder for SAELens: their_zoo.sparse:TopK: only registered" in card.read_text()
        assert "from_pretrained" not in card.read_text()


def test_weights_of_other_metrics_are_refused_and_the_old_folder_stays(whole, tmp_path):
    study = with_hub(whole, cells=[CELL.path])
    card, weights = tmp_path / "hub" / "README.md", whole.cell() / "sae.safetensors"
    make_folder(study.configuration, card)
    before = card.read_bytes()
    content = weights.read_bytes()
    try:
        weights.unlink()  # a hard link of what the folder holds
        weights.write_bytes(content + b" ")
        with pytest.raises(EvaluationError, match="not the one that its metrics are of"):
            make_folder(study.configuration, card)
        weights.unlink()
        with pytest.raises(EvaluationError, match="run snakemake again"):
            make_folder(study.configuration, card)
    finally:
        weights.write_bytes(content)
    assert card.read_bytes() == before
