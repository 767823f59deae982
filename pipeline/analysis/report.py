"""Stage: the report of a study, one HTML file that opens without a network.

python -m pipeline report --measures DIR --root DIR --out report.html
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.figure import figures_of, synthetic_figures, title_and_caption
from pipeline.analysis.numbers import span, variant_label
from pipeline.analysis.page import parts_of, template
from pipeline.analysis.table import tables_of
from pipeline.analysis.tables.cells import CELLS
from pipeline.study.outputs import SCOPE
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import K, stem
from sagsae.files import write_atomic

STANDING = (
    "A probability of dominance and the errors of gaps are a bootstrap over the seeds that were "
    "run: with few seeds they take few values, and they cover neither the choice of text nor that "
    "of models.",
    "Loss Recovered sets the loss with the reconstruction spliced in against zero ablation. Where "
    "zero ablation costs less than 0.1 nats, the ratio is noise and is not given.",
)
# Of a study that trains the paper's variants.
RECONSTRUCTED = (
    "The equations of SA-GSAE used here are a reconstruction from the paper's abstract, figure "
    "captions and claims (arXiv 2605.28149); they are not copied from its text. Initial "
    "thresholds, the reset rule, widths, lambdas and schedules are choices of this project."
)


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
        "scope": scope,
        "variants": [variant_label(name) for name in cells["variant"].unique()],
        "tally": ", ".join(f"{outcome}: {count}" for outcome, count in counts.items()),
        "figures": [figure((root / "figures" / name).with_suffix(".png")) for name in figures],
        "tables": [(table.title, parts_of(table, rows[table], scope)) for table in tables],
        "limits": limits(scope, cells),
        "browser": browser,
    }
    return template(Path(__file__).with_name("report.html.j2")).render(values)


def limits(spec: Scope, cells: pd.DataFrame) -> list[str]:
    """One or two sentences per limit; the study's own first."""
    models = " and ".join(f"{name} (d = {d_model})" for name, d_model in spec.models.items())
    sites = (
        f"Sites: {', '.join(spec.hookpoints)} at one layer of {models}. Nothing here says what "
        "happens at other layers, models or sizes."
    )
    names = ("training_tokens", "eval_tokens", "ce_tokens")
    training, evaluation, recovered = (span(cells[name], "{:,}".format) for name in names)
    budget = (
        f"Budget: {training} training tokens and {evaluation} evaluation tokens a cell, Loss "
        f"Recovered over {recovered}. Longer training changes dead fractions most of all, and a "
        "latent counts as dead if it is silent on the evaluation tokens."
    )
    theirs = any(name != "gated" and stem(name) == "gated" for name in cells["variant"].unique())
    limited = [spec.note, sites, budget, _seeds(cells), RECONSTRUCTED * theirs, *STANDING]
    return list(filter(None, limited))


def _seeds(cells: pd.DataFrame) -> str:
    """The fewest seeds of any point, by variant and width."""
    point = ["recipe", "model", "hookpoint", "variant", "multiple", "lam"]
    point += [K] if K in cells else []
    swept = cells.assign(multiple=cells["width"] / cells["d_model"])
    seeds = swept.groupby(point, dropna=False)["seed"].nunique()
    fewest = seeds.groupby(["variant", "multiple"]).min().reset_index().to_numpy()
    listed = (f"{n} for {variant_label(name)} at H = {width:g}d" for name, width, n in fewest)
    text = f"Seeds per point: at least {', '.join(listed)}."
    if (seeds == 1).any():
        text += " One seed has no error: its numbers are single observations."
    return text


def main(measures: Path, root: Path, out: Path, browser: str | None = None) -> None:
    """Write the HTML file whole.

    Args:
        measures: folder of the measures
        root: folder of the results, with tables and figures
        out: the HTML file
        browser: address of the latent browser, as seen from the report, if the study has one
    """
    write_atomic(out, report(Scope.read(measures / SCOPE), root, browser).encode())
