"""Every figure draws the rows of its tables that its title and labels name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.analysis.figure import all_figures, draw, figures_of, parts
from pipeline.study.measures import Measures
from pipeline.study.scope import Scope
from tests.helpers.made_studies import made_layers
from tests.pipeline.analysis.figures import checks_of_protocols as protocols
from tests.pipeline.analysis.figures import checks_of_studies as of_studies
from tests.pipeline.analysis.figures.tables_of_study import Study

REFERENCE = Path(__file__).resolve().parents[4] / "results" / "reference"
CHECKS = {
    "figure_r2": of_studies.sweeps("r2"),
    "figure_2": of_studies.sweeps("dead_fraction"),
    "figure_3": of_studies.sweeps("loss_recovered"),
    "figure_depth": of_studies.depth,
    "figure_11": of_studies.calibration,
    "figure_spec_gap": of_studies.specification("min_gap"),
    "figure_spec_dead": of_studies.specification("dead_drop"),
    "figure_spec_reduction": of_studies.specification("equal_l0_log10"),
    "figure_frontiers": of_studies.frontiers,
    "figure_sign_rates": of_studies.sign_rates,
    "figure_widths": of_studies.widths,
    "figure_dial": of_studies.dial("effect"),
    "figure_dial_kl": of_studies.dial("kl"),
    "figure_probing": of_studies.probing,
    "figure_absorption": of_studies.absorption,
    "figure_curves": of_studies.curves,
    "figure_1": protocols.code_of_one_latent,
    "figure_4": protocols.polarity_dial,
    "figure_5": protocols.anomalies,
    "figure_6": protocols.plane,
    "figure_7": protocols.histogram,
    "figure_8": protocols.superposition,
    "figure_9": protocols.consolidation,
    "figure_10": protocols.robustness,
}
STUDIES = {
    "local-reference": "figure_r2 figure_2 figure_3 figure_r2_variants figure_2_variants figure_1 "
    "figure_4 figure_5 figure_6 figure_7 figure_8 figure_9 figure_10",
    "deep": "figure_spec_gap figure_spec_dead figure_spec_reduction figure_2@mean figure_dial "
    "figure_dial@mean figure_dial_kl figure_curves figure_curves@mean",
    "competitors": "figure_frontiers@matched figure_probing@matched figure_absorption@matched",
    "sign": "figure_sign_rates figure_widths@tuned figure_probing@tuned figure_absorption@tuned",
    "truth": "figure_sign_rates figure_widths",
}
NAMES = [(study, name) for study, names in STUDIES.items() for name in names.split()]


def check(name: str, root: Path, measures: Path, scope: Scope) -> None:
    figure, cut = parts(name)
    drawn, numbers = draw(name, root, scope, Measures(measures))
    assert len(numbers), "the CSV beside the figure"
    recipe = cut.recipe or next(iter(scope.trained))
    CHECKS[figure.name](drawn, Study(root, measures), recipe, cut.everything)


@pytest.mark.slow
@pytest.mark.parametrize(("study", "name"), NAMES)
def test_a_figure_of_a_committed_study_draws_its_tables(study, name):
    root = REFERENCE / study
    check(name, root, root / "measures", Scope.read(root / "measures/study.json"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CHECKS if "_spec_" in name])
def test_errors_of_effects_are_drawn(name, tmp_path):
    """The study `deep` has one seed of most cells, and so no errors: here they are invented."""
    deep, file = REFERENCE / "deep", tmp_path / "tables/effects.csv"
    file.parent.mkdir()
    table, rng = pd.read_csv(deep / "tables/effects.csv"), np.random.default_rng(0)
    errors = [column for column in table if column.endswith("_se")]
    invented = rng.uniform(0.001, 0.01, (len(table), len(errors)))
    table.assign(**dict(zip(errors, invented.T, strict=True))).to_csv(file, index=False)
    check(name, tmp_path, deep / "measures", Scope.read(deep / "measures/study.json"))


def test_calibration_slopes_are_drawn_as_they_are(built_study, tmp_path):
    """Of a made-up study, since committed ones leave out this table, which is large; with slopes
    and errors of which no two are alike."""
    shutil.copytree(built_study.root / "tables", tmp_path / "tables")
    (tmp_path / "tables/cells.sha256").unlink()
    file, rng = tmp_path / "tables/calibration.csv", np.random.default_rng(0)
    table = pd.read_csv(file, keep_default_na=False)
    table["slope"] += rng.normal(0, 0.1, len(table))
    table.assign(slope_se=rng.uniform(0.01, 0.1, len(table))).to_csv(file, index=False)
    measures = Path(built_study.measure()[0].partition("=")[2])
    check("figure_11", tmp_path, measures, built_study.scope)


def test_layers_are_drawn_one_after_the_other(tmp_path):
    study = made_layers(tmp_path)
    measures = Path(study.measure()[0].partition("=")[2])
    for name in ("figure_depth", "figure_r2_variants"):
        assert name in figures_of(study.scope)
        drawn, _ = draw(name, study.root, study.scope, Measures(measures))
        CHECKS[parts(name)[0].name](drawn, Study(study.root, measures), "", True)
    drawn, numbers = study.draw("figure_depth")
    tuned = numbers[(numbers["variant"] == "sagsae_tied") & (numbers["model"] == "small")]
    lines = {number: own[["layer", "knob"]] for number, own in tuned.groupby("number")}
    assert lines[1].to_numpy().tolist() == [[1, 0.11], [3, 0.13]]  # of l12.resid it collapsed
    assert lines[2].to_numpy().tolist() == [[1, 0.2], [3, 0.2], [12, 0.22]]


def test_every_figure_is_compared_with_its_tables():
    known = {parts(name)[0].name for _, name in NAMES} | {"figure_11", "figure_depth"}
    assert CHECKS.keys() == all_figures().keys() == known
