"""Stage: the report of a study, one HTML file that opens without a network.

python -m pipeline report --measures DIR --root DIR --out report.html
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.figure import figures_of, synthetic_figures, title_and_caption
from pipeline.analysis.limits import limits
from pipeline.analysis.numbers import variant_label
from pipeline.analysis.page import parts_of, template
from pipeline.analysis.table import tables_of
from pipeline.analysis.tables.cells import CELLS
from pipeline.study.outputs import SCOPE
from pipeline.study.scope import Scope
from sagsae.files import write_atomic


def figure(path: Path) -> dict[str, str]:
    """An image as text, with its title and its caption."""
    title, caption = title_and_caption(path.stem)
    data = base64.b64encode(path.read_bytes()).decode()
    return {"source": f"data:image/png;base64,{data}", "title": title, "caption": caption}


def report(scope: Scope, root: Path, browser: str | None = None) -> str:
    """The page, from the written tables and figures.

    Args:
        scope: Of the study.
        root: Folder of its results.
        browser: Address of the latent browser as seen from the report, if the study has one.
    """
    tables = [table for table in tables_of(scope) if table.report]
    rows = {table: read_table(root / table.path) for table in tables}
    cells = rows[CELLS]
    figures = [*figures_of(scope), *(synthetic_figures() if scope.with_synthetic else ())]
    outcomes = [rows[table]["outcome"] for table in tables if table.name == "claims"]
    counts = outcomes[0].value_counts().to_dict() if outcomes else {}
    values: dict[str, Any] = {
        "study": scope.study or "unnamed",
        "note": scope.note,
        "missing": scope.missing,
        "cells": len(scope.grid),
        "variants": [variant_label(name) for name in cells["variant"].unique()],
        "models": list(scope.models),
        "hookpoints": scope.hookpoints,
        "tally": ", ".join(f"{outcome}: {count}" for outcome, count in counts.items()),
        "figures": [figure((root / "figures" / name).with_suffix(".png")) for name in figures],
        "tables": [(table.title, parts_of(table, rows[table], scope)) for table in tables],
        "limits": limits(scope, cells),
        "browser": browser,
    }
    return template(Path(__file__).with_name("report.html.j2")).render(values)


def main(measures: Path, root: Path, out: Path, browser: str | None = None) -> None:
    """Write the HTML file whole.

    Args:
        measures: folder of the measures
        root: folder of the results, with tables and figures
        out: the HTML file
        browser: address of the latent browser, as seen from the report, if the study has one
    """
    write_atomic(out, report(Scope.read(measures / SCOPE), root, browser).encode())
