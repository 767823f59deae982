"""Synthetic protocols as stages: specifications, runs, means over seeds, the operating point."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline.__main__ import main as stage
from pipeline.analysis.tables import synthetic as synthetic_tables
from pipeline.analysis.tables.synthetic import summarise
from pipeline.jobs.json_files import canonical, digest, read_json
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG
from pipeline.study.synthetic import PROTOCOLS
from pipeline.synthetic.sizes import SIZES
from pipeline.tools.verify import verify
from sagsae.autoencoders.registry import LAMBDA, knobs

pytestmark = pytest.mark.slow

SMOKE = yaml.safe_load((DEFAULT_CONFIG.parent / "smoke.yaml").read_text())


def study(results: str = "results") -> Study:
    """The smoke study."""
    return Study.from_dict(SMOKE | {"results": results})


@pytest.fixture(scope="module", autouse=True)
def brief() -> Iterator[None]:
    """Every run is cut to a moment."""
    short = {
        name: replace(one, steps=15, batch_size=64, evaluation_rows=512)
        for name, one in SIZES["tiny"].items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", short)
        yield


@pytest.fixture(scope="module")
def runs(brief: None, tmp_path_factory) -> list[Path]:
    """Two seeds of every protocol, trained for a moment."""
    made = study()
    folder, files = tmp_path_factory.mktemp("synthetic"), []
    for protocol in PROTOCOLS:
        for seed in made.config.synthetic.seeds:
            files.append(folder / f"{protocol}_seed{seed}.json")
            spec = canonical(made.synthetic_spec(protocol, seed))
            stage(["synthetic-run", "--spec", spec, "--out", str(files[-1])])
    return files


def row(**changes: Any) -> dict[str, Any]:
    made = {
        "protocol": "consolidation",
        "setting": "superposition=1",
        "variant": "gated",
        "multiple": 2.0,
        "width": 16,
        "lam": 0.6,
        "metrics": {"l0": 1.0, "target_l0": 1.0, "pcr": 0.0},
    }
    return made | changes


def test_the_size_is_in_the_specification_and_other_seeds_are_not():
    specs = [
        digest(Study.from_dict(SMOKE | {"synthetic": section}).synthetic_spec("geometry", 0))
        for section in ({"size": "tiny"}, {"size": "quick"}, {"size": "tiny", "seeds": [0, 5]})
    ]
    assert specs[0] != specs[1]
    assert specs[0] == specs[2]


@pytest.mark.parametrize("size", SIZES)
def test_every_size_has_every_protocol_and_known_variants(size):
    assert tuple(SIZES[size]) == PROTOCOLS
    for section in SIZES[size].values():
        assert all(LAMBDA in knobs(one.variant) for one in section.contestants)


def test_every_protocol_runs_every_contestant_at_every_lambda(runs):
    for path in runs:
        found = read_json(path)
        rows = found["rows"]
        assert len(rows) == SIZES["tiny"][found["protocol"]].runs
        names = {(r["setting"], r["variant"], r["width"], r["lam"]) for r in rows}
        assert len(names) == len(rows)
        assert all({"l0", "r2", "mse", "target_l0"} <= r["metrics"].keys() for r in rows)


def test_a_run_is_made_alike_twice_and_differs_between_seeds(runs, tmp_path):
    made = study()
    spec = canonical(made.synthetic_spec("geometry", 0))
    stage(["synthetic-run", "--spec", spec, "--out", str(tmp_path / "again.json")])
    first, other = (path for path in runs if path.stem.startswith("geometry"))
    assert (tmp_path / "again.json").read_bytes() == first.read_bytes()
    assert read_json(first)["rows"] != read_json(other)["rows"]
    assert read_json(first)["spec"] == digest(json.loads(spec))


def test_every_system_has_one_operating_point(runs):
    table = synthetic_tables.summarise(synthetic_tables.rows_of(map(read_json, runs)))
    assert set(table["protocol"]) == set(PROTOCOLS)
    systems = table.groupby([*synthetic_tables.SYSTEM, "metric"])["picked"]
    assert (systems.sum() == 1).all()
    gated = table[(table["variant"] == "gated") & (table["metric"] == "pcr")]
    assert len(gated)
    assert (gated["mean"] == 0).all()


def test_verify_names_altered_runs_and_those_of_another_configuration(runs, tmp_path):
    made = study(str(tmp_path))
    assert "synthetic runs" not in verify(made).sound
    folder = Path(made.synthetic_run("geometry", 0)).parent
    shutil.copytree(runs[0].parent, folder)
    sound = verify(made)
    assert sound.sound["synthetic runs"] == len(runs)
    assert not sound.faults
    altered = folder / "geometry_seed0.json"
    altered.write_text(altered.read_text().replace('"l0"', '"l1"', 1))
    (folder / "anomalies_seed1.json").write_bytes((folder / "anomalies_seed0.json").read_bytes())
    found = verify(made)
    assert [Path(fault.file).name for fault in found.faults] == [
        "anomalies_seed1.json",
        "geometry_seed0.json",
    ]
    assert found.sound["synthetic runs"] == len(runs) - 2


def test_means_and_standard_errors_leave_out_what_has_no_value():
    rows = [
        row(metrics={"l0": 1.0, "target_l0": 1.0, "slope": value}) for value in (1.0, None, 3.0)
    ]
    table = summarise(rows).set_index("metric")
    assert table.loc["slope", ["seed_count", "mean", "se"]].tolist() == [2, 2.0, 1.0]
    assert table.loc["l0", "seed_count"] == 3
    alone = summarise(rows[:1]).set_index("metric")
    assert alone.loc["slope", "mean"] == 1.0
    assert pd.isna(alone.loc["slope", "se"])
    none = summarise(rows[1:2]).set_index("metric")
    assert none.loc["slope", "seed_count"] == 0
    assert pd.isna(none.loc["slope", "mean"])


@pytest.mark.parametrize(
    ("l0", "picked"),
    [
        ({0.1: [4.0], 0.2: [1.6], 0.4: [0.6]}, 0.2),  # 1.6 is nearer than 0.6 = 1 / 1.67
        ({0.1: [4.0], 0.2: [0.0]}, 0.1),
        ({0.1: [0.0], 0.2: [0.0]}, 0.1),
        ({0.1: [0.2, 1.8], 0.2: [1.2, 1.2]}, 0.1),  # the mean over seeds decides
    ],
)
def test_the_operating_point_is_nearest_to_the_truth_in_ratio(l0, picked):
    rows = [
        row(lam=lam, metrics={"l0": value, "target_l0": 1.0, "pcr": 1 - value})
        for lam, values in l0.items()
        for value in values
    ]
    table = summarise(rows)
    assert set(table.loc[table["picked"], "lam"]) == {picked}
    assert set(table.loc[table["picked"], "metric"]) == {"l0", "target_l0", "pcr"}
