"""Results belong to the configuration at hand: whatever Snakemake remembers, and whoever asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.jobs.json_files import sha256_of
from tests.helpers.workflow import ROOT, Finished, Workflow, workflow_of

SMOKE = ROOT / "workflow/configs/smoke.yaml"
STUDY = Path("results/smoke")
CELL = STUDY / "cells/tiny-smollm3/attn/gated/w256_lam0.1_seed0"
ANALYSIS = {f"{kind}_tables" for kind in ("cells", "dial", "claims")}
ANALYSIS |= {"draw_cells", "draw_cells_curves", "draw_dial", "report", "all", "total"}


@pytest.fixture
def copied(smoke: Finished, tmp_path: Path) -> Workflow:
    """The finished smoke study on another machine: without what Snakemake remembers of it."""
    shutil.copytree(
        smoke.folder, tmp_path / "smoke", symlinks=True, ignore=shutil.ignore_patterns(".snakemake")
    )
    return workflow_of(tmp_path / "smoke", yaml.safe_load(smoke.config.read_text()))


def tool(workflow: Workflow, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A tool of the pipeline, in the folder of a workflow."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments, "--configfile", str(workflow.config)],
        cwd=workflow.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("--rerun-triggers", "mtime")])
def test_a_changed_learning_rate_trains_every_cell_though_snakemake_forgot(copied, options):
    assert copied.planned(*options) == {}
    changed = copied.changed(training={"learning_rate": 0.0014})
    assert "0 of 29 cells finished" in tool(changed, "status").stdout
    planned = changed.planned(*options)
    assert (planned["cell"], planned["dial_run"]) == (29, 6)
    assert not {"asset", "documents", "tokens", "dump", "baselines"} & planned.keys()
    refused = tool(changed, "publish", "--out", "published")
    assert refused.returncode == 1
    assert "made for another configuration" in refused.stdout
    assert not (copied.folder / "published").exists()
    assert copied.planned(*options).keys() <= {*ANALYSIS, "scope"}, "nothing trains on the way back"


def test_an_edited_measure_is_refused_and_an_edited_table_is_made_again(copied):
    table = copied.folder / STUDY / "tables/points.csv"
    whole = table.read_text()
    table.write_text(whole.replace("0.", "7.", 1))
    said = tool(copied, "verify").stdout
    assert "tables of cells are missing, were edited" in said
    assert copied.planned()["cells_tables"] == 1
    done = copied.run()
    assert done.returncode == 0, done.stdout
    assert table.read_text() == whole
    measures = copied.folder / STUDY / "measures/cells.jsonl"
    whole = measures.read_text()
    measures.write_text(whole.replace('"r2": 0.', '"r2": 0.9', 1))
    assert "content does not match its own content_sha256" in tool(copied, "verify").stdout
    done = copied.run()
    assert done.returncode == 0, done.stdout
    assert measures.read_text() == whole, "a damaged measure is made again"


def test_a_run_that_the_next_run_would_repeat_is_refused(copied):
    (copied.folder / CELL / "metrics.json").unlink()
    done = copied.run("--dry-run", "--workflow-profile", "none")
    assert done.returncode == 1
    assert "add --rerun-triggers mtime params" in done.stdout


def test_no_plan_changes_the_disk(copied):
    """Of the same configuration, of another one, and of a study with an edited table."""
    table = copied.folder / STUDY / "tables/points.csv"
    table.write_text(table.read_text().replace("0.", "7.", 1))
    before = state(copied.folder / "results")
    assert copied.changed(training={"learning_rate": 0.0014}).planned()["cell"] == 29
    assert copied.planned()["cells_tables"] == 1
    assert state(copied.folder / "results") == before
    for command in (["verify"], ["publish", "--out", "published"]):
        refused = tool(copied, *command)
        assert refused.returncode == 1
        assert "tables of cells are missing, were edited" in refused.stdout


def state(folder: Path) -> dict[str, tuple[int, str]]:
    """Date and content of every file."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(file): (file.stat().st_mtime_ns, sha256_of(file)) for file in files}


@pytest.mark.parametrize(
    ("lost", "makes"),
    [
        ("assets/tiny-smollm3/asset.json", "asset"),
        ("manifests/tiny-smollm3-train.json", "dump"),
        ("baselines/tiny-smollm3.json", "baselines"),
        ("dial/tiny-smollm3/attn/seed0.json", "dial_run"),
        ("measures/study.json", "scope"),
        ("measures/dial.jsonl", "measures"),
        ("tables/cells.sha256", "cells_tables"),
    ],
)
def test_what_is_lost_is_made_again_and_no_cell_with_it(copied, lost, makes):
    (copied.folder / STUDY / lost).unlink()
    planned = copied.planned()
    assert planned[makes] == 1
    assert "cell" not in planned


def test_a_note_makes_the_report_and_no_figure(copied):
    raw = yaml.safe_load(copied.config.read_text())
    noted = workflow_of(copied.folder, raw | {"note": "Read with care."})
    assert noted.planned().keys() == {"scope", "report", "all", "total"}


def test_a_run_whose_cell_fails_ends_with_what_is_there(copied):
    shutil.rmtree(copied.folder / CELL)
    (copied.folder / CELL).mkdir()
    (copied.folder / CELL / ".state").write_text("no folder")  # so the cell's job fails
    done = copied.run()
    assert done.returncode == 1
    assert f"result of the cells that are there: {STUDY}/preview/report.html" in done.stdout
    report = (copied.folder / STUDY / "preview/report.html").read_text()
    assert "Missing cells: 1." in report
    assert str(CELL.relative_to(STUDY / "cells")) in report
    (copied.folder / CELL / ".state").unlink()
    done = copied.run()
    assert done.returncode == 0, done.stdout


def test_an_empty_list_of_cells_is_not_the_whole_study(copied):
    for asked in (["--missing"], ["--variant", "no-such"]):
        lines = tool(copied, "cells", "--targets", *asked).stdout.splitlines()
        listed = next(line for line in lines if not line.startswith("error: "))
        (copied.folder / CELL / "metrics.json").unlink(missing_ok=True)
        assert copied.planned(listed).keys() <= {"nothing", "total"}


def test_text_of_a_thousand_files_is_fetched(tmp_path):
    raw = yaml.safe_load(SMOKE.read_text())
    (tmp_path / "texts").mkdir()
    names = [f"texts/{'a' * 100}{number}.txt" for number in range(1250)]
    for number, name in enumerate(names):
        (tmp_path / name).write_text(f"text number {number}")
    raw["text"]["source"] = {"kind": "files", "paths": names}
    workflow = workflow_of(tmp_path, raw)
    record = "results/smoke/assets/text/documents.json"
    done = workflow.run(record)
    assert done.returncode == 0, done.stdout
    moved = [str(tmp_path / name) for name in names]
    raw["text"]["source"] = {"kind": "files", "paths": moved}
    assert workflow_of(tmp_path, raw).planned(record) == {}


@pytest.mark.parametrize(
    ("sections", "options", "problem"),
    [
        ("models: []\n", [], "no `study`: name the study"),
        ("study: x\nstudy: y\n", [], "key 'study' is given twice"),
        (SMOKE.read_text(), ["--config", "rates=v100"], "error: unknown rates 'v100'"),
    ],
)
def test_a_fault_of_the_configuration_is_said_in_a_line(tmp_path, sections, options, problem):
    config = tmp_path / "study.yaml"
    config.write_text(sections)
    done = Workflow(tmp_path, config).run("--dry-run", *options)
    assert done.returncode == 1
    assert problem in done.stdout
    assert "Traceback" not in done.stdout


def test_other_text_of_a_rule_trains_nothing(smoke, tmp_path):
    """Specifications are parameters: the order of two options changes no number."""
    checkout = tmp_path / "checkout"
    for name in ("workflow", "pipeline", "sagsae", "profiles"):
        shutil.copytree(ROOT / name, checkout / name)
    for name in ("Snakefile", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    rule = checkout / "workflow/rules/cells.smk"
    text = rule.read_text()
    rule.write_text(
        text.replace("--asset {input.asset:q}", "", 1).replace(
            "--out ", "--asset {input.asset:q} --out "
        )
    )
    assert rule.read_text() != text
    command = [sys.executable, "-m", "snakemake", f"--snakefile={checkout / 'Snakefile'}", "-n"]
    command += [f"--configfile={smoke.config}", f"--directory={smoke.folder}", "--cores=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "Nothing to be done" in done.stdout + done.stderr
