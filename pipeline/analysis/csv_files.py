"""CSV files of the tables folder, written and read with their types."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from sagsae.files import whole_file

# Columns that stay text whatever they look like: a digest may read as a number.
TEXTS = re.compile(
    r"model|hookpoint|(.*_)?variant|recipe|kind|quantity|sign|collapsed|.*_reason|made_from_.*"
    r"|.*_d(evice|type)|setting|metric|protocol"
    r"|promoted_.*"
    r"|claim|statement|paper|source|here|outcome|why|criterion"
    r"|(.*_)?series|family|home_recipe|error_from|bound"
    r"|widths|level(_.*)?|measure|factor|together_with|against|hangs_on|dead_in_baseline|sentence|reference"
)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV of the tables folder with its types; an empty text is "", an empty number is NaN."""
    names = pd.read_csv(path, nrows=0).columns
    types = {name: "str" for name in names if TEXTS.fullmatch(name)} | {"dominates": "boolean"}
    table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    return table.fillna({name: "" for name, kind in types.items() if kind == "str"})


def write_csv(path: Path, table: pd.DataFrame, digits: str | None = "%.12g") -> None:
    """Write a table whole; twelve digits hide the last bits, in which machines may differ."""
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, float_format=digits)
