"""The table of all metrics below a folder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

import sagsae

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "local-reference"


def metrics(**changes: object) -> dict:
    return {
        "cell": {
            "model": "tiny",
            "hookpoint": "attn",
            "variant": "gated",
            "width": 8,
            "lam": 0.1,
            "seed": 0,
        },
        "l0": 2.5,
        "r2": 0.5,
        "loss_recovered": 0.9,
        "census": {"top1_minority_share": 0.25, "minority_share_quantiles": [0.0, 0.5]},
        "collapsed": [],
        **changes,
    }


def write(folder: Path, name: str, content: bytes) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "metrics.json").write_bytes(content)


def test_the_reference_study_has_the_rows_and_columns_of_its_cells_csv():
    table = sagsae.results(REFERENCE)
    written = pd.read_csv(REFERENCE / "tables" / "cells.csv", keep_default_na=False, na_values=[""])
    assert set(written) <= set(table)
    assert list(table.columns[:7]) == list(written.columns[:7])
    found = table[written.columns].replace({"collapsed": "", "recipe": ""}, math.nan)
    pd.testing.assert_frame_equal(found, written, check_dtype=False, check_exact=True)


def test_nested_records_are_flat_and_lists_are_left_out(tmp_path):
    write(tmp_path, "a", json.dumps(metrics(collapsed=["R2", "L0"])).encode())
    (row,) = sagsae.results(tmp_path).to_dict("records")
    assert row == {
        **metrics()["cell"],
        "recipe": "",
        "l0": 2.5,
        "r2": 0.5,
        "loss_recovered": 0.9,
        "collapsed": "R2; L0",
        "census_top1_minority_share": 0.25,
    }


def test_absent_and_null_numbers_are_nan(tmp_path):
    write(tmp_path, "a", json.dumps(metrics(loss_recovered=None)).encode())
    later = metrics() | {"schema_version": 2, "calibration": {"slope": 1.5}}
    later["cell"] = later["cell"] | {"seed": 1}
    write(tmp_path, "b", json.dumps(later).encode())
    table = sagsae.results(tmp_path)
    assert list(table["seed"]) == [0, 1]
    assert math.isnan(table["loss_recovered"][0])
    assert math.isnan(table["calibration_slope"][0])
    assert table[["loss_recovered", "calibration_slope", "l0"]].dtypes.eq("float64").all()


def test_rows_are_sorted_by_cell_and_stores_are_not_searched(tmp_path):
    for name, lam, seed in (("a", 0.2, 0), ("b", 0.1, 1), ("c", 0.1, 0)):
        changed = metrics()
        changed["cell"] |= {"lam": lam, "seed": seed}
        write(tmp_path / "cells", name, json.dumps(changed).encode())
    write(tmp_path / "activations" / "data.zarr", "attn", b"no JSON")
    table = sagsae.results(str(tmp_path))
    assert list(zip(table["lam"], table["seed"], strict=True)) == [(0.1, 0), (0.1, 1), (0.2, 0)]


def test_the_measures_of_a_study_repeat_none_of_its_cells(tmp_path):
    """Those of a preview neither; a published study beside it has measures alone."""
    line = json.dumps(metrics()).encode()
    write(tmp_path, "mine/cells/tiny/attn/gated/w8_lam0.1_seed0", line)
    for folder in ("mine/measures", "mine/preview/measures", "published/measures"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "cells.jsonl").write_bytes(line)
    asked = ("mine", "mine/measures", "published", ".")
    assert [len(sagsae.results(tmp_path / name)) for name in asked] == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "JSONDecodeError"),
        (b"[]", "not the metrics of a cell"),
        (b'{"cell": {}}', "lacks"),
        (b'{"a": 1}', "'cell'"),
        (json.dumps({"cell": metrics()["cell"]}).encode(), "lacks"),
    ],
)
def test_a_file_that_is_no_metrics_is_named(tmp_path, content, message):
    write(tmp_path, "a", json.dumps(metrics()).encode())
    write(tmp_path, "b", content)
    with pytest.raises(ValueError, match=message) as error:
        sagsae.results(tmp_path)
    assert str(tmp_path / "b" / "metrics.json") in str(error.value)
