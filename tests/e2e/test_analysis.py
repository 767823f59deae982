"""The second workflow: measures alone become tables, figures and report."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.figure import figures_of, parts
from pipeline.analysis.table import tables_of
from pipeline.study.scope import Scope
from tests.helpers import their_claims
from tests.helpers.made_studies import made_families, make_study

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "results" / "reference"
TOLERANCE = 1e-9
"""Relative, of numbers that another environment computes from the same measures."""
OF_LAWS = 1e-3
"""The same of tables of laws: another processor ends their fits elsewhere in a flat valley."""


def analysis(
    measures: Path, out: Path, *targets: str, dry_run: bool = False, checkout: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", checkout / "workflow/analysis.smk"]
    command += ["--cores", "2", "--workflow-profile", "none", "--directory", out.parent]
    command += ["--rerun-triggers", "mtime", "params"]
    command += ["--dry-run"] * dry_run
    command += ["--config", f"measures={measures}", f"out={out}", "--", *targets]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.parametrize(
    "name", sorted(folder.parent.name for folder in REFERENCE.glob("*/measures"))
)
def test_a_committed_study_follows_from_its_measures(name, tmp_path):
    done = analysis(REFERENCE / name / "measures", tmp_path / "out", "tables")
    assert done.returncode == 0, done.stderr[-3000:]
    for kept in (REFERENCE / name / "tables").glob("*.csv"):
        found = read_table(tmp_path / "out" / "tables" / kept.name)
        rtol = OF_LAWS if kept.stem in ("scaling", "predictions") else TOLERANCE
        pd.testing.assert_frame_equal(
            found, read_table(kept), rtol=rtol, atol=1e-12, check_dtype=False, obj=kept.name
        )


def test_it_plans_what_a_figure_draws_and_nothing_of_the_first_workflow(tmp_path):
    measures = REFERENCE / "deep" / "measures"
    scope = Scope.read(measures / "study.json")
    done = analysis(measures, tmp_path / "out", "figure_spec_gap", dry_run=True)
    assert done.returncode == 0, done.stderr
    planned = done.stdout + done.stderr
    assert "rule cells_tables:" in planned
    for rule in ("dial_tables", "claims_tables", "synthetic_tables", "cell", "dump"):
        assert f"rule {rule}:" not in planned
    for figure in figures_of(scope):
        assert set(parts(figure)[0].tables) <= set(tables_of(scope))


def copied(checkout: Path) -> Path:
    """A copy of the code."""
    for name in ("workflow", "pipeline", "sagsae"):
        shutil.copytree(ROOT / name, checkout / name)
    return checkout


MINE = """
import pandas as pd

from pipeline.analysis.columns import Column
from pipeline.analysis.table import Table

COUNTS = ["variant", Column("trained", "Trained", "{} cells".format)]
MINE = Table("mine", "My counts", columns=COUNTS)


@MINE.made_from("cells")
def mine(cells):
    return cells.groupby("variant").size().rename("trained").reset_index()
"""
DRAWN = """
from pipeline.analysis.figure import figure, under_each_recipe
from pipeline.analysis.figures import mpl
from pipeline.analysis.tables.mine import MINE


@figure([MINE], when=under_each_recipe, title="My figure", caption="A bar counts cells.")
def figure_mine(shown):
    drawing, rows = mpl.figure.Figure(), shown.table(MINE)
    drawing.subplots().bar(rows["variant"], rows["trained"])
    return drawing, rows
"""


def test_a_table_and_a_figure_are_a_file_each(tmp_path):
    """They have a rule, a page and a place in the report, and nothing else names them."""
    checkout = copied(tmp_path / "checkout")
    (checkout / "pipeline/analysis/tables/mine.py").write_text(MINE)
    (checkout / "pipeline/analysis/figures/mine.py").write_text(DRAWN)
    made = make_study(tmp_path)
    made.spec["claims"] = ""
    measures, out = Path(made.measure()[0].partition("=")[2]), tmp_path / "out"
    done = analysis(measures, out, "report", str(out / "tables/mine.md"), checkout=checkout)
    assert done.returncode == 0, done.stderr[-3000:]
    assert pd.read_csv(out / "tables/mine.csv")["trained"].tolist() == [24, 24]
    assert "| SA-GSAE tied | 24 cells |" in (out / "tables/mine.md").read_text()
    page = (out / "report.html").read_text()
    assert "My counts" in page
    assert "A bar counts cells." in page


@pytest.mark.long
def test_a_changed_line_of_analysis_makes_tables_again(tmp_path):
    """In a copy of the code: the first workflow would train nothing either, it reads no code."""
    checkout = copied(tmp_path / "checkout")
    measures = tmp_path / "measures"
    shutil.copytree(REFERENCE / "collapse" / "measures", measures)

    def planned() -> str:
        asked = measures, tmp_path / "out", str(tmp_path / "out/tables/cells.csv")
        plan = analysis(*asked, dry_run=True, checkout=checkout)
        done = analysis(*asked, checkout=checkout)
        assert done.returncode == 0, done.stderr
        return plan.stdout + plan.stderr

    assert "cells_tables" in planned()
    assert "Nothing to be done" in planned()
    module = checkout / "pipeline" / "analysis" / "tables" / "cells.py"
    module.write_text(module.read_text() + "# changed\n")
    assert "cells_tables" in planned()


def test_claims_of_a_users_own_package_are_judged_and_judged_again_when_they_change(
    tmp_path, monkeypatch
):
    """Under each recipe, where jobs run; a changed line of the package makes no table again."""
    package = tmp_path / "site" / "my_package"
    package.mkdir(parents=True)
    module = package / "my_claims.py"
    module.write_text(their_claims.TEXT)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    sparse = {"ks": [16, 64], "recipes": ["matched", "paper"]}
    sides = {"abstopk": 2, "topk": 4}
    grid = [{"variant": name, "expansion": width} | sparse for name, width in sides.items()]
    candidate, baseline = ({"variant": name, "expansion": n} for name, n in sides.items())
    comparisons = [{"candidate": candidate, "baseline": baseline, "matched_l0": [48]}]
    made = made_families(
        tmp_path / "made", grid=grid, comparisons=comparisons, claims="my_package.my_claims"
    )
    (measures,) = (Path(option.partition("=")[2]) for option in made.measure())
    out = tmp_path / "out"

    def judged() -> tuple[str, pd.DataFrame]:
        done = analysis(measures, out, str(out / "tables/claims_matrix.csv"))
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stderr, read_table(out / "tables/claims_matrix.csv").set_index("recipe")

    _, table = judged()
    assert table["claim"].tolist() == ["half_is_enough"] * 2
    gaps = read_table(out / "tables/comparison.csv").groupby("recipe")["mean_gap"].min()
    expected = {name: "holds" if gap >= 0.01 else "does not hold" for name, gap in gaps.items()}
    assert table["outcome"].to_dict() == expected == dict.fromkeys(expected, "does not hold")
    module.write_text(their_claims.TEXT.replace("least=0.01", "least=-1"))
    done, table = judged()
    assert set(table["outcome"]) == {"holds"}
    assert "rule cells_tables" not in done
    page = (out / "tables/claims.md").read_text()
    (rule,) = (line for line in page.splitlines() if line.startswith("- 1: "))
    assert "-1" in rule  # the criterion has the parameter that was changed


def test_what_is_not_given_is_said_in_a_line(tmp_path):
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow/analysis.smk"]
    command += ["--cores", "1", "--workflow-profile", "none", "--directory", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: give --config measures=DIR out=DIR: measures, out is missing" in done.stderr
