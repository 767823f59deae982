"""What `snakemake verify` finds and says; that it misses no damage is in tests/faults."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pipeline.__main__ import main
from pipeline.jobs.findings import Fault
from pipeline.jobs.json_files import read_json, sha256_of, write_json
from pipeline.jobs.stage import run_stage
from pipeline.study.cell import Cell
from pipeline.study.curve_files import curve_figures
from pipeline.study.formats import figure_files
from pipeline.study.outputs import CLAIM_TABLES, TABLES
from pipeline.study.study import Study
from pipeline.verify.run import Audit, report, verify
from sagsae.autoencoders.storage import build
from tests.pipeline.whole_study import CELL, WholeStudy, configuration, make_whole_study


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> tuple[WholeStudy, Path]:
    made = make_whole_study(tmp_path_factory.mktemp("whole"))
    backup = tmp_path_factory.mktemp("backup") / "small"
    shutil.copytree(made.root, backup)
    return made, backup


@pytest.fixture
def whole(_made: tuple[WholeStudy, Path]) -> Iterator[WholeStudy]:
    """A sound study that a test may damage."""
    made, backup = _made
    yield made
    shutil.rmtree(made.root)
    shutil.copytree(backup, made.root)


def changed(whole: WholeStudy, **sections: dict[str, Any]) -> Study:
    """The same folder under another configuration."""
    raw = copy.deepcopy(configuration(whole.root.parent))
    for name, keys in sections.items():
        raw[name] = raw[name] | keys
    return Study.from_dict(raw)


def problems(study: Study) -> dict[str, str]:
    """File, relative to the study -> problem."""
    root = Path(study.root)
    return {
        Path(fault.file).relative_to(root).as_posix(): fault.problem
        for fault in verify(study).faults
    }


def cell_problem(whole: WholeStudy) -> str:
    """What is wrong with the cell, the only fault of the study."""
    found = problems(whole.study)
    assert found.keys() == {f"cells/{CELL.path}/metrics.json"}
    return found[f"cells/{CELL.path}/metrics.json"]


def outputs_of(study: Study) -> int:
    """How many files the tables, the figures and the report are."""
    figures = [*study.figures, *curve_figures(study)]
    return len(TABLES + CLAIM_TABLES) + len(figure_files(study)) * len(figures) + 1


def test_a_sound_study(whole):
    audit = verify(whole.study)
    assert (audit.faults, audit.notes) == ([], [])
    assert all("tables" in name or "figures" in name or "report" in name for name in audit.absent)
    assert len(audit.absent) == outputs_of(whole.study)
    assert audit.checked == {
        "models": 1,
        "texts": 1,
        "token stores": 2,
        "manifests": 2,
        "stores": 2,
        "baselines": 1,
        "cells of the grid": 4,
    }
    line = report(audit).splitlines()[-1]
    assert line.startswith("study small: no fault; 4 of 4 cells finished; checked: models 1, ")
    everything = [p for p in whole.root.rglob("*") if p.is_file() and "lock" not in p.name]
    size = sum(p.stat().st_size for p in everything)
    assert 0.5 * size < audit.size <= size


def test_what_is_not_made_yet_is_no_fault(whole):
    shutil.rmtree(whole.cell())
    (whole.cell(CELL_2) / "metrics.json").unlink()
    Path(whole.study.baselines("m")).unlink()
    manifest = Path(whole.study.manifest("m", "heldout"))
    manifest.unlink()
    audit = verify(whole.study)
    assert audit.faults == []
    assert audit.checked["cells of the grid"] == 2
    assert {str(manifest), whole.study.baselines("m")} <= set(audit.absent)
    assert "2 of 4 cells" in report(audit)


CELL_2 = Cell(model="m", hookpoint="mlp_out", variant="sagsae_tied", width=24, lam=0.2, seed=0)


def test_steering_and_its_tables_are_looked_for(whole):
    sides = {"candidate": {"variant": "sagsae_tied", "width": 24}}
    sides["baseline"] = {"variant": "gated", "width": 48}
    raw = configuration(whole.root.parent) | {"comparisons": [sides], "dial": {"contexts": 4}}
    study = Study.from_dict(raw)
    assert len(study.dials) == 2
    absent = verify(study).absent
    assert {*study.dials, study.table("dial.csv"), study.figure("figure_dial")} <= set(absent)
    file = Path(next(iter(study.dials)))
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    (fault,) = verify(study, " --configfile it.yaml").faults
    assert fault.file == str(file)
    assert fault.remedy == f"snakemake --cores all --configfile it.yaml --force {file}"


def test_another_configuration(whole):
    for sections, expected in (
        ({"training": {"tokens": 2048}}, {f"cells/{c.path}/metrics.json" for c in cells(whole)}),
        (
            {"evaluation": {"lr_contexts": 3}},
            {"baselines/m.json", *(f"cells/{c.path}/metrics.json" for c in cells(whole))},
        ),
        (
            {"text": {"source": {"kind": "random", "documents": 151, "words": 20}}},
            {
                "assets/text/documents.json",
                *(f"tokens/m-{split}.json" for split in ("train", "heldout")),
                *(f"manifests/m-{split}.json" for split in ("train", "heldout")),
                "baselines/m.json",
                *(f"cells/{c.path}/metrics.json" for c in cells(whole)),
            },
        ),
    ):
        found = problems(changed(whole, **sections))
        assert found.keys() == expected
        assert all("made for another configuration: " in text for text in found.values())


def cells(whole: WholeStudy) -> list[Cell]:
    return whole.study.cells


def test_faults_come_with_commands_that_make_the_file_again(whole):
    chunk = whole.stores("train") / "data.zarr/resid/c.5.0"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    audit = Audit(whole.study, " --configfile it.yaml")
    metrics = whole.study.metrics(CELL)
    store, manifest = whole.stores("train"), whole.study.manifest("m", "train")
    again = "snakemake --cores all --configfile it.yaml --force"
    assert audit.command(Fault(metrics, "")) == f"{again} {metrics}"
    (fault,) = verify(whole.study, " --configfile it.yaml").faults
    assert fault.file == str(store)
    assert "rows 320 to 383 (data.zarr/resid/c.5.0) cannot be used" in fault.problem
    assert "delete commits/000001.json and SEALED.json" in fault.problem
    assert fault.remedy == f"{again} {manifest}"


def test_a_manifest_of_other_rows(whole):
    manifest = Path(whole.study.manifest("m", "train"))
    write_json(manifest, read_json(manifest) | {"sha256": "0" * 64})
    name = "manifests/m-train.json"
    assert "the first 512 rows of" in problems(whole.study)[name]
    again = next(f for f in verify(whole.study).faults if f.file == str(manifest))
    whole.follow(again.remedy)
    assert verify(whole.study).faults == []


@pytest.mark.parametrize(
    "name",
    [
        "assets/m/asset.json",
        "assets/text/documents.json",
        "manifests/m-train.json",
        "baselines/m.json",
    ],
)
def test_a_sound_file_of_another_kind(whole, name):
    write_json(whole.root / name, {"purpose": "none"})
    assert "not such a file: it has no " in problems(whole.study)[name]


def change_metrics(whole: WholeStudy, **made_from: str) -> None:
    """Metrics that vouch for other files than those that were measured."""
    path = whole.cell() / "metrics.json"
    metrics = read_json(path)
    write_json(path, metrics | {"made_from": metrics["made_from"] | made_from})


def other_weights(path: Path) -> None:
    build("gated", 32, 24).save(path)


def no_weights(path: Path) -> None:
    save_file({"x": torch.ones(2)}, path)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (other_weights, "holds gated of width 24, the cell is sagsae_tied"),
        (no_weights, "not an autoencoder"),
    ],
)
def test_weights_that_are_vouched_for_and_wrong(
    whole, damage: Callable[[Path], None], problem: str
):
    path = whole.cell() / "sae.safetensors"
    path.unlink()
    damage(path)
    change_metrics(whole, weights_sha256=sha256_of(path))
    assert problem in cell_problem(whole)


def test_a_curve_that_is_gone_or_another(whole):
    curve = whole.cell() / "curve.parquet"
    content = curve.read_bytes()
    curve.unlink()
    assert "curve.parquet: missing, but training.json is there" in cell_problem(whole)
    curve.write_bytes((whole.cell(CELL_2) / "curve.parquet").read_bytes())
    assert "curve.parquet: its sha256 is " in cell_problem(whole)
    (fault,) = verify(whole.study).faults
    whole.follow(fault.remedy)
    assert curve.read_bytes() == content
    assert verify(whole.study).faults == []


def test_kept_weights_that_are_not_those_that_were_measured(whole):
    state = whole.cell() / ".state"
    kept = (state / "sae.safetensors").read_bytes()
    (state / "sae.safetensors").unlink()
    fault = "trained.json: damaged, or it keeps other weights than metrics.json"
    assert fault in cell_problem(whole)
    build("gated", 32, 24).save(state / "sae.safetensors")
    assert fault in cell_problem(whole)
    (state / "sae.safetensors").write_bytes(kept)
    assert problems(whole.study) == {}
    record = read_json(state / "trained.json")
    write_json(state / "trained.json", record | {"weights_sha256": "0" * 64})
    assert fault in cell_problem(whole)


def test_cells_beside_the_grid_are_checked_too(whole):
    beside = Cell(model="m", hookpoint="resid", variant="gated", width=8, lam=0.5, seed=3)
    whole.make(whole.study.metrics(beside))
    shutil.copytree(whole.cell(), whole.root / "cells/other/resid/sagsae_tied" / whole.cell().name)
    audit = verify(whole.study)
    assert audit.faults == []
    assert audit.checked["cells beside the grid"] == 1
    other = f"other/resid/sagsae_tied/{whole.cell().name}"
    assert audit.notes == [f"folders that are no cells of this study: {other}"]
    (whole.cell(beside) / "sae.safetensors").write_bytes(b"")
    assert f"cells/{beside.path}/metrics.json" in problems(whole.study)


def test_leftovers_of_killed_jobs_are_listed(whole):
    left = [
        whole.cell() / ".metrics.json.77.partial",
        whole.stores("train") / "commits/000001.json.1f.tmp",
        whole.root / "assets/m/.model.partial",
    ]
    left[0].touch()
    left[1].touch()
    left[2].mkdir()
    audit = verify(whole.study)
    assert audit.faults == []
    (note,) = audit.notes
    assert note.startswith("3 left over by killed jobs; ")
    assert all(str(path) in note for path in left)


def run_main(whole: WholeStudy, *options: str) -> object:
    config = json.dumps(configuration(whole.root.parent))
    with pytest.raises(SystemExit) as stop:
        run_stage(lambda: main(["verify", "--config", config, *options]))
    return stop.value.code


def test_the_command_line(whole, capsys):
    assert run_main(whole, "--configfile") == 0
    said = capsys.readouterr()
    assert "study small: no fault; 4 of 4 cells" in said.out
    assert "verify cells: 4/4 cells" in said.err
    (whole.cell() / "metrics.json").write_text("{}")
    assert run_main(whole, "--configfile", "a b.yaml") == 1
    said = capsys.readouterr().out
    assert "1 fault(s), to be mended from the first to the last:" in said
    assert f"remedy: snakemake --cores all --configfile 'a b.yaml' --force {whole.cell()}" in said
    assert "1 FAULT(S); 3 of 4 cells" in said
