"""How every figure looks, and the files that it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pipeline.text.csv_files import write_csv
from sagsae.files import whole_file

DPI = 200


STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "figure.dpi": DPI,
    "svg.hashsalt": "sagsae",
}


def write(figure: Figure, table: pd.DataFrame, out: Path) -> None:
    """Write ``out`` (.png) and its .svg and .csv beside it. The same input gives the same bytes."""
    with whole_file(out) as partial:
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
    with whole_file(out.with_suffix(".svg")) as partial:
        figure.savefig(partial, format="svg", metadata={"Date": None})
    write_csv(out.with_suffix(".csv"), table, None)
