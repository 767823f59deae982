"""How every figure looks, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pipeline.analysis.csv_files import write_csv
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


def write(figure: Figure, table: pd.DataFrame, out: Path) -> None:
    """Write an image, and beside a .png its .csv. The same input gives the same bytes."""
    kind = out.suffix[1:]
    with whole_file(out) as partial:
        figure.savefig(partial, format=kind, dpi=DPI, metadata=UNDATED[kind])
    if kind == "png":
        write_csv(out.with_suffix(".csv"), table, None)
