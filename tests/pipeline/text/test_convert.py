"""Tables in further formats say what their CSV says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pyarrow import parquet

from pipeline.__main__ import main as run
from pipeline.text.csv_files import read_table

ROWS = (
    "recipe,model,variant,width,l0,r2,dominates,collapsed,made_from_store\n"
    ",small_1,gated,256,12.345678901234567,0.5,True,,12e3456789012345\n"
    "zero,large,sagsae_tied,128,,-0.25,,R2 below 0.2 & 5 % dead,0000000000000001\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "points.csv"
    path.write_text(ROWS)
    return path


def converted(table: Path, suffix: str) -> Path:
    out = table.with_suffix(suffix)
    run(["convert", "--table", str(table), "--out", str(out)])
    return out


def test_parquet_has_every_number_and_its_type(table):
    out = converted(table, ".parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(out), read_table(table))
    kinds = {field.name: str(field.type) for field in parquet.read_schema(out)}
    assert kinds["width"] == "int64"
    assert kinds["l0"] == "double"
    assert kinds["dominates"] == "bool"
    assert "string" in kinds["made_from_store"]  # a digest that reads as a number
    assert parquet.read_table(out)["l0"].to_pylist() == [12.345678901234567, None]


def test_equal_tables_have_equal_files(table):
    first = converted(table, ".parquet").read_bytes()
    assert converted(table, ".parquet").read_bytes() == first


def test_latex_has_every_column_at_four_digits(table):
    text = converted(table, ".tex").read_text()
    assert text.startswith("% needs \\usepackage{booktabs,longtable}\n\\begin{longtable}")
    lines = text.splitlines()
    assert "\\caption{Points}" in text
    heads = (
        r"recipe & model & variant & width & l0 & r2 & dominates & collapsed & made\_from\_store"
    )
    assert any(line.startswith(heads) for line in lines)
    assert any(
        line.startswith(r" & small\_1 & gated & 256 & 12.35 & 0.5 & True &  & 12e3456789012345")
        for line in lines
    )
    assert r"R2 below 0.2 \& 5 \% dead" in text
