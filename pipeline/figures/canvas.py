"""How every figure looks, and the files that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pipeline.config.formats import FigureFormat
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
    "pdf.fonttype": 42,  # text stays text in other programs
}
UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Format -> what its file must not say of the day, or of the version."""


def write(
    figure: Figure, table: pd.DataFrame, out: Path, formats: Sequence[FigureFormat] = ("svg",)
) -> None:
    """Write ``out`` (.png), its .csv and further formats beside it. The same input gives the same
    bytes. Further formats have the layout of the first, which is half the work of drawing."""
    for name in ("png", *formats):
        with whole_file(out.with_suffix(f".{name}")) as partial:
            figure.savefig(partial, format=name, dpi=DPI, metadata=UNDATED[name])
        figure.set_layout_engine("none")
    write_csv(out.with_suffix(".csv"), table, None)
