"""Stage: the report of a study, one HTML file that opens without a network.

python -m pipeline report --measures DIR --root DIR --out report.html
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.figures.catalogue import SYNTHETIC, figures_of, title_and_caption
from pipeline.analysis.limits import limits
from pipeline.analysis.names import claim_tables, tables_of
from pipeline.analysis.numbers import variant_label
from pipeline.analysis.page import parts_of, template
from pipeline.analysis.views import VIEWS
from pipeline.study.outputs import CELLS, CLAIMS, SCOPE
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
    claims = claim_tables(scope)[::-1]
    names = [*claims, *(name for name in tables_of(scope) if name in VIEWS and name not in claims)]
    read = {name: read_table(root / "tables" / name) for name in names}
    figures = [*figures_of(scope), *(SYNTHETIC if scope.with_synthetic else ())]
    counts = read[CLAIMS]["outcome"].value_counts().to_dict() if claims else {}
    values: dict[str, Any] = {
        "study": scope.study or "unnamed",
        "note": scope.note,
        "missing": scope.missing,
        "cells": len(scope.grid),
        "variants": [variant_label(name) for name in read[CELLS]["variant"].unique()],
        "models": list(scope.models),
        "hookpoints": scope.hookpoints,
        "tally": ", ".join(f"{outcome}: {count}" for outcome, count in counts.items()),
        "figures": [figure((root / "figures" / name).with_suffix(".png")) for name in figures],
        "tables": [parts_of(name, read[name], scope) for name in names],
        "limits": limits(scope, read[CELLS]),
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
