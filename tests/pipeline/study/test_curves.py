"""The file of a training curve: what it holds, that it is the same each time, that damage shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.study.cell import Cell
from pipeline.study.curves import curve_content, read_curve
from tests.helpers.made_study import made_rows

CELL = Cell(model="m", hookpoint="resid", variant="gated", width=8, lam=0.1, seed=0)
COLUMNS = ["step", "tokens", "loss", "reconstruction", "penalty", "auxiliary"]
COLUMNS += ["l0", "dead_fraction", "lr", "lambda", "resets"]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "curve.parquet"
    path.write_bytes(content)
    return path


def test_every_number_is_kept(tmp_path):
    rows = [row | {"loss": 0.1 + 0.2} for row in made_rows(CELL)]
    found, made_for = read_curve(written(tmp_path, curve_content(rows, CELL, "a")))
    assert made_for == {"cell": CELL.path, "train": "a"}
    assert list(found) == COLUMNS
    whole = {"step", "tokens", "resets"}
    assert {name for name in found if found[name].dtype == "int64"} == whole
    assert found.astype(float).to_dict("records") == [
        {name: row[name] for name in COLUMNS} for row in rows
    ]


def test_equal_rows_give_equal_bytes_in_every_process(tmp_path):
    code = (
        "import sys; from tests.pipeline.study.test_curves import *\n"
        "sys.stdout.buffer.write(curve_content(made_rows(CELL), CELL, 'a'))"
    )
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert again == curve_content(made_rows(CELL), CELL, "a")


def test_an_autoencoder_of_another_package_has_its_own_terms(tmp_path):
    row = {"step": 0.0, "tokens": 8.0, "loss": 3.0, "two": 1.0, "reconstruction": 2.0, "one": 4.0}
    content = curve_content([row], CELL, "a")
    found, _ = read_curve(written(tmp_path, content))
    assert list(found) == ["step", "tokens", "loss", "reconstruction", "one", "two"]
    assert curve_content([dict(sorted(row.items()))], CELL, "a") == content  # as read from JSON


def test_a_file_that_is_no_curve_is_named(tmp_path):
    content = curve_content(made_rows(CELL), CELL, "a")
    path = written(tmp_path, content)
    for damaged in (b"", content[:-1], content[: len(content) // 2], b"x" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"curve\.parquet: no training curve"):
            read_curve(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_curve(path)
