"""What is committed follows from the committed metrics; a published study rebuilds to itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.claims.page import write_claims
from pipeline.config.synthetic import PROTOCOLS
from pipeline.figures.draw import numbers
from pipeline.jobs.json_files import read_json, write_json
from pipeline.report.environment import installed
from pipeline.report.publish import PublishError, busy_seconds, publish
from pipeline.report.rebuild import CONFIGURATION, rebuild, rebuild_synthetic
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.metrics import MetricsError, read_all
from pipeline.study.outputs import CLAIM_TABLES, CLAIMS, SYNTHETIC_SUMMARY, TABLES
from pipeline.study.study import Study
from pipeline.synthetic.run import run_protocol
from pipeline.tables.write import write_tables
from pipeline.text.csv_files import read_table, write_csv
from tests.pipeline.made_grid import make_grid

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"
PUBLISHED = sorted(path.parent for path in REFERENCE.glob(f"*/{CONFIGURATION}"))


_SMALL = {"d": 8, "steps": 600, "lambdas": [0.6]}
_TIED = [{"variant": "sagsae_tied"}]
PROTOCOL_SIZES = {
    "seeds": [0],
    "evaluation_rows": 2048,
    "training": {"batch_size": 256},
    "polarity_dial": _SMALL | {"pairs": 4, "alphas": [1, 4], "contestants": _TIED},
    "anomalies": _SMALL | {"pairs": 4, "budgets": [0.5], "variants": ["gated", "sagsae_tied"]},
    "consolidation": _SMALL | {"superpositions": [0.5], "contestants": _TIED},
    "robustness": _SMALL
    | {"pairs": 4, "correlations": [-1, -0.5], "cosines": [-1, 0], "contestants": _TIED},
    "geometry": {"steps": 100, "lambdas": [0.4], "contestants": _TIED},
}
"""Just enough that some pair is consolidated, which figure 7 shows."""


def check(folder: Path, out: Path) -> None:
    """Every table and every figure's numbers in ``folder`` follow from its metrics."""
    study = Study.from_dict(read_json(folder / CONFIGURATION))
    spec = ComparisonSpec.model_validate(study.report_spec())
    write_tables(read_all(folder / "cells", study.cells), spec, out)
    synthetic = check_synthetic(study, folder, out)
    write_claims(spec, out, synthetic, out / CLAIMS)
    for name in TABLES + CLAIM_TABLES:
        assert (out / name).read_bytes() == (folder / "tables" / name).read_bytes(), name
    for name in study.figures:
        write_csv(out / f"{name}.csv", numbers(name, out, spec), None)
        committed = folder / "figures" / f"{name}.csv"
        assert (out / f"{name}.csv").read_bytes() == committed.read_bytes(), name
        assert committed.with_suffix(".png").stat().st_size > 10_000


def check_synthetic(study: Study, folder: Path, out: Path) -> Path | None:
    """The same of the synthetic protocols; the path of their summary if there is one."""
    runs = sorted((folder / "synthetic" / "runs").glob("*.json"))
    if not runs:
        return None
    rebuild_synthetic(runs, study, out)
    for path in [*(out / "synthetic").glob("*.csv"), *(out / "figures").glob("*.csv")]:
        assert path.read_bytes() == (folder / path.relative_to(out)).read_bytes(), path.name
    return out / SYNTHETIC_SUMMARY


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_a_committed_study_follows_from_its_metrics(folder, tmp_path):
    check(folder, tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Study:
    """A made-up study with all its results, and small synthetic protocols."""
    study = make_grid(
        tmp_path_factory.mktemp("finished"),
        hookpoints=["mlp_out", "resid"],
        synthetic=PROTOCOL_SIZES,
    )
    root = Path(study.root)
    for protocol in PROTOCOLS:
        spec = study.synthetic_spec(protocol, 0)
        write_json(study.synthetic_run(protocol, 0), run_protocol(spec))
    rebuild(root, study, installed(), root)
    return study


@pytest.fixture(scope="module")
def published(finished, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("published") / "made"
    publish(finished, out)
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_published_study_follows_from_its_metrics(published, tmp_path):
    check(published, tmp_path)


def test_a_rebuilt_study_is_the_same_to_the_byte(finished, published, tmp_path):
    main(["rebuild", "--from", str(published), "--out", str(tmp_path)])
    rebuilt, kept = files(tmp_path), files(published)
    results = {name for name in kept if name.split("/")[0] in ("tables", "figures", "synthetic")}
    results = {name for name in results if "/runs/" not in name}
    assert {name for name in rebuilt if name != "report.html"} == results
    assert all(rebuilt[name] == kept[name] for name in results)
    assert rebuilt["report.html"] == Path(finished.report).read_bytes()


def test_a_changed_metric_shows(published, tmp_path):
    cell = next((published / "cells").rglob("metrics.json"))
    kept = cell.read_bytes()
    write_json(cell, read_json(cell) | {"r2": 0.123})
    try:
        with pytest.raises(AssertionError, match=r"cells\.csv"):
            check(published, tmp_path / "changed")
        cell.write_bytes(kept.replace(b'"l0": ', b'"l0": 1'))
        with pytest.raises(MetricsError, match="edited or damaged"):
            check(published, tmp_path / "edited")
    finally:
        cell.write_bytes(kept)


def test_metrics_are_kept_as_they_are_and_no_file_is_large(finished, published):
    for cell in finished.cells:
        kept = published / "cells" / cell.path / "metrics.json"
        assert kept.read_bytes() == Path(finished.metrics(cell)).read_bytes()
    assert max(len(content) for content in files(published).values()) < 2**20
    assert "36 cells" not in (published / "README.md").read_text()
    assert f"| cells | {len(finished.cells)} |" in (published / "README.md").read_text()


def test_tables_of_other_metrics_are_not_published(finished, published, tmp_path):
    table = Path(finished.table("points.csv"))
    kept = table.read_bytes()
    table.write_bytes(kept.replace(b"0.05", b"0.06", 1))
    try:
        with pytest.raises(PublishError, match=r"tables/points\.csv do not follow"):
            publish(finished, tmp_path / "out")
    finally:
        table.write_bytes(kept)
    assert not (tmp_path / "out").exists()


def test_busy_time_counts_what_ran_side_by_side_once(tmp_path):
    records = {
        "a": ("results/x/logs/a.log", 0, 10),
        "a2": ("results/x/logs/a.log", 0, 10),
        "b": ("results/x/logs/b.log", 5, 12),
        "c": ("results/x/logs/c.log", 20, 21),
        "other": ("results/y/logs/a.log", 0, 1000),
    }
    for name, (log, start, end) in records.items():
        record = {"log": [log], "starttime": start, "endtime": end}
        (tmp_path / name).write_text(json.dumps(record))
    assert busy_seconds(tmp_path, "results/x/logs") == 13


def test_a_study_of_one_variant_has_figures_and_claims_too(tmp_path):
    grid = [{"variant": "sagsae_tied", "expansion": 2, "lambdas": [0.1]}]
    study = make_grid(tmp_path, grid=grid, comparisons=[], hookpoints=["resid"])
    root = Path(study.root)
    rebuild(root, study, installed(), root)
    outcomes = read_table(Path(study.table("claims.csv"))).set_index("claim")["outcome"]
    assert set(outcomes) == {"not testable"}
    assert len(study.figures) == 4
