"""What is committed follows from the committed metrics; a published study rebuilds to itself."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline.__main__ import main
from pipeline.config.synthetic import PROTOCOLS
from pipeline.jobs.json_files import read_json, write_json
from pipeline.report.environment import installed
from pipeline.report.publish import PublishError, publish
from pipeline.report.rebuild import RebuildError, rebuild
from pipeline.study.curve_files import drawn_cells
from pipeline.study.metrics import MetricsError
from pipeline.study.outputs import CONFIGURATION, ENVIRONMENT, README, REPORT
from pipeline.study.study import Study
from pipeline.synthetic.run import run_protocol
from pipeline.text.csv_files import read_table
from tests.pipeline.made_curves import make_curve
from tests.pipeline.made_dial import make_dials
from tests.pipeline.made_grid import make_grid
from tests.pipeline.made_probes import make_probes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_jobs")]

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"
PUBLISHED = sorted(path.parent for path in REFERENCE.glob(f"*/{ENVIRONMENT}"))
"""The finished ones: a study that still runs keeps metrics and no environment."""


_SMALL = {"d": 8, "steps": 600, "lambdas": [0.6]}
_TIED = [{"variant": "sagsae_tied"}]
PROTOCOL_SIZES = {
    "seeds": [0],
    "evaluation_rows": 2048,
    "batch_size": 256,
    "polarity_dial": _SMALL | {"pairs": 4, "alphas": [1, 4], "contestants": _TIED},
    "anomalies": _SMALL | {"pairs": 4, "budgets": [0.5], "variants": ["gated", "sagsae_tied"]},
    "consolidation": _SMALL | {"superpositions": [0.5], "contestants": _TIED},
    "robustness": _SMALL
    | {"pairs": 4, "correlations": [-1, -0.5], "cosines": [-1, 0], "contestants": _TIED},
    "geometry": {"steps": 100, "lambdas": [0.4], "contestants": _TIED},
}
"""Just enough that some pair is consolidated, which figure 7 shows."""


def made_here(folder: Path) -> bool:
    """Whether a published study was made with the Python and the numpy of this process, up to the
    minor version. Others may sum in another order, so that the last digits differ."""
    made_with, here = read_json(folder / ENVIRONMENT)["versions"], installed()
    return all(made_with[name].split(".")[:2] == here[name].split(".")[:2] for name in PINNED)


PINNED = ("Python", "numpy")
TOLERANCE = 1e-9
"""Relative, of numbers that another environment computed from the same metrics."""


def unnamed(path: Path) -> bytes:
    """A file's bytes, without Matplotlib's names of clipping paths: each is a digest of floats,
    the last bit of which differs between a CPU with AVX512 and one without."""
    return re.sub(rb"\bp[0-9a-f]{10}\b", b"clip", path.read_bytes())


def same(found: Path, kept: Path, exact: bool) -> None:
    """Bytes where ``exact``; else texts are equal and numbers are within ``TOLERANCE``."""
    if exact or kept.suffix in (".md", ".tex"):
        assert unnamed(found) == unnamed(kept), kept.name
    elif kept.suffix == ".csv":
        tables = read_table(found), read_table(kept)
        pd.testing.assert_frame_equal(*tables, rtol=TOLERANCE, atol=1e-12, obj=kept.name)
    else:  # a figure: its numbers are in the CSV beside it
        assert found.stat().st_size > 10_000


def files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def results(folder: Path) -> dict[str, Path]:
    """Tables, figures and means: what follows from metrics and synthetic runs."""
    given = (
        "cells/",
        "dial/",
        "probe/",
        "synthetic/runs/",
        CONFIGURATION,
        ENVIRONMENT,
        README,
        REPORT,
    )
    return {name: path for name, path in files(folder).items() if not name.startswith(given)}


LARGE = {"deep", "competitors"}
"""Publishing compared all that they keep. Drawing them again takes minutes: here, their tables."""


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_a_committed_study_follows_from_its_metrics(folder, tmp_path):
    whole = folder.name not in LARGE
    short = [] if whole else ["--tables-only"]
    main(["rebuild", "--from", str(folder), "--out", str(tmp_path), *short])
    made, kept = results(tmp_path), results(folder)
    drawn = {name for name in kept if name.startswith("figures/")}
    assert made.keys() == (kept.keys() if whole else kept.keys() - drawn)
    exact = made_here(folder)
    for name, path in made.items():
        same(path, kept[name], exact)
    if whole:
        report = (tmp_path / REPORT).read_text()
        images = {name for name in drawn if name.endswith(".png")}
        assert report.count('src="data:image/png;base64,') == len(images) > 0
    assert files(tmp_path).keys() == made.keys() | ({REPORT} if whole else set())


def finish(study: Study) -> None:
    """Make the tables, the figures and the report of a study that has its metrics."""
    root = Path(study.root)
    write_json(root / CONFIGURATION, study.config.model_dump())
    write_json(root / ENVIRONMENT, {"versions": installed()})
    rebuild(root, root)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Study:
    """A made-up study with all its results, and small synthetic protocols."""
    study = make_grid(
        tmp_path_factory.mktemp("finished"),
        hookpoints=["mlp_out", "resid"],
        synthetic=PROTOCOL_SIZES,
        dial={"models": ["small"]},
        probe={"models": ["small"]},
    )
    make_dials(study)
    make_probes(study)
    for cell in study.cells:
        if cell.lam == 0.1 or cell.model == "large":
            make_curve(Path(study.cells_root), cell)
    for protocol in PROTOCOLS:
        spec = study.synthetic_spec(protocol, 0)
        write_json(study.synthetic_run(protocol, 0), run_protocol(spec))
    finish(study)
    return study


@pytest.fixture(scope="module")
def published(finished, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("published") / "made"
    publish(finished, out)
    return out


def test_a_published_study_has_the_results_of_the_study(finished, published):
    study = results(Path(finished.root))
    for name, path in results(published).items():
        same(path, study[name], exact=True)
    assert {name.split("/")[0] for name in results(published)} == {"tables", "figures", "synthetic"}


def test_what_steering_found_is_kept_and_shown(finished, published):
    for file in finished.dials:
        kept = published / Path(file).relative_to(finished.root)
        assert kept.read_bytes() == Path(file).read_bytes()
    assert {path.name for path in (published / "dial").rglob("*.json")} == {"seed0.json"}
    names = {path.name for path in results(published).values()}
    assert {"dial.csv", "dial_curves.csv", "dial.md", "dial.tex", "figure_dial.png"} <= names
    claims = read_table(published / "tables" / "claims.csv").set_index("claim")
    assert claims.loc["causal_dial", "outcome"] == "holds"
    assert "small resid 2 of 2" in claims.loc["causal_dial", "here"]
    assert "`dial/` what steering found" in (published / "README.md").read_text()
    report = (Path(finished.root) / REPORT).read_text()
    assert "Latents as dials" in report
    assert "<b>Causal dial.</b>" in report


def test_what_probes_found_is_kept_and_shown(finished, published):
    for file in finished.probes:
        kept = published / Path(file).relative_to(finished.root)
        assert kept.read_bytes() == Path(file).read_bytes()
    names = {path.name for path in results(published).values()}
    assert set(finished.probe_tables) <= names
    assert {"figure_probing.png", "figure_absorption.csv"} <= names
    assert "`probe/` what probes found" in (published / "README.md").read_text()
    report = (Path(finished.root) / REPORT).read_text()
    assert "<h2>Sparse probing and absorption</h2>" in report
    assert "<b>Feature absorption.</b>" in report


def test_curves_that_are_drawn_are_kept_and_shown(finished, published):
    names = {path.name for path in results(published).values()}
    assert {"figure_curves.png", "figure_curves.svg", "figure_curves.csv"} <= names
    drawn = {cell.path for cell in drawn_cells(finished)}
    kept = {
        path.parent.relative_to(published / "cells").as_posix(): path
        for path in published.rglob("curve.parquet")
    }
    assert kept.keys() == {path for path in drawn if "lam0.1_" in path or path.startswith("large")}
    for path, file in kept.items():
        own = Path(finished.cells_root) / path / "curve.parquet"
        assert file.read_bytes() == own.read_bytes()
    report = (Path(finished.root) / REPORT).read_text()
    assert "<h2>Training</h2>" in report
    assert "<b>Training curves.</b>" in report


@pytest.fixture(scope="module")
def one_variant(tmp_path_factory) -> Study:
    """A made-up study without a comparison, with all its results."""
    grid = [{"variant": "sagsae_tied", "expansion": 2, "lambdas": [0.1]}]
    folder = tmp_path_factory.mktemp("one-variant")
    study = make_grid(folder, grid=grid, comparisons=[], hookpoints=["resid"])
    finish(study)
    return study


def test_results_of_other_metrics_are_not_published(one_variant, tmp_path):
    cell = Path(one_variant.metrics(one_variant.cells[0]))
    kept = cell.read_bytes()
    try:
        write_json(cell, read_json(cell) | {"r2": 0.123})
        with pytest.raises(PublishError, match=r"tables/cells\.csv, .* do not follow"):
            publish(one_variant, tmp_path / "out")
        cell.write_bytes(kept.replace(b'"l0": ', b'"l0": 1'))
        with pytest.raises(MetricsError, match="edited or damaged"):
            publish(one_variant, tmp_path / "out")
    finally:
        cell.write_bytes(kept)
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_its_metrics_is_not_rebuilt(published, tmp_path, capfd):
    shutil.copytree(published, tmp_path / "torn")
    next((tmp_path / "torn" / "cells").rglob("metrics.json")).unlink()
    with pytest.raises(RebuildError, match="not made again"):
        rebuild(tmp_path / "torn", tmp_path / "out")
    assert "MissingInputException" in capfd.readouterr().err
