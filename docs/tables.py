"""Tables of the pages, which stand in them as Markdown: ``python -m docs.tables`` makes them anew.

A pair of comments holds each: ``<!-- table: NAME of FILE -->`` and ``<!-- end -->``. FILE is a CSV
file of a committed study, see `OF_FILES`; tables without one follow from the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pandas as pd

from docs.known_features import calibration, visible
from docs.result_tables import TABLES, markdown
from pipeline.analysis import page
from pipeline.analysis.table import Table, all_tables
from pipeline.study.study import Study
from pipeline.tools.cost import ACTIVATION_BYTES, WEIGHT_BYTES, Requests

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MADE = re.compile(r"^<!-- table: (.+?)(?: of (\S+))? -->\n.*?^<!-- end -->$", re.M | re.S)

OF_FILES = TABLES | {"calibration": calibration, "visible": visible}


def renewed(path: Path) -> str:
    """A page with all its tables made anew."""

    def made(asked: re.Match[str]) -> str:
        name, file = asked.groups()
        if not file:
            return f"<!-- table: {name} -->\n\n{OF_CODE[name]()}\n\n<!-- end -->"
        kind, _, part = name.partition(" ")
        table = markdown(OF_FILES[kind], part, path.parent / file)
        study = Path(file).parts[-3]
        source = f"*From [{study}/{Path(file).name}]({file}).*"
        return f"<!-- table: {name} of {file} -->\n\n{table}\n\n{source}\n\n<!-- end -->"

    return MADE.sub(made, path.read_text())


def piped(rows: pd.DataFrame) -> str:
    """A table of texts as Markdown."""
    return page.markdown(page.Grid("", rows.astype(str)))


def tables_of_studies() -> str:
    """Every table that a study may have, and how it is read; then the columns that need words."""
    tables = all_tables()
    lines = [[f"`{table.path}`", table.title, table.reads] for table in tables]
    parts = [piped(pd.DataFrame(lines, columns=["file", "title", "how it is read"]))]
    for table in tables:
        if said := dict(columns_of(table)):
            parts += [
                f"## {table.file}",
                piped(pd.DataFrame(said.items(), columns=["column", "says"])),
            ]
    return "\n\n".join(parts)


def columns_of(table: Table) -> Iterator[tuple[str, str]]:
    """Columns, and what each has, as the docstring of the function that makes the table says."""
    text = inspect.getdoc(table.make) or ""
    _, _, listed = text.partition("Columns:\n")
    for names, says in re.findall(r"^    (\S.*?): (.+(?:\n {8}.+)*)$", listed, re.M):
        yield ", ".join(f"`{name}`" for name in names.split(", ")), " ".join(says.split())


# Language model -> its name, its width, the layer and the multiple of its width that are trained.
SIZES = {
    "smollm2-135m": ("135 M (SmolLM2-135M)", 576, 15, 4),
    "pythia-1b": ("1 B (Pythia-1B)", 2048, 8, 8),
    "llama-8b": ("8 B (d = 4,096, 32 blocks)", 4096, 16, 8),
}
# Device of workflow/rates.yaml -> its name.
DEVICES = {"cpu-core": "EPYC core", "h100": "H100"}
BUDGETS = (4_505_600, 49_995_776)


def hours() -> str:
    """What one autoencoder takes, as `python -m pipeline cost` counts."""
    lines = []
    for (name, (words, d, layer, times)), rows in product(SIZES.items(), BUDGETS):
        model = {"name": name, "source": {"kind": "path", "path": name}}
        raw = {
            "study": "mine",
            "models": [model | {"d_model": d, "layer": layer}],
            "hookpoints": ["resid"],
            "text": {"source": {"kind": "files", "paths": ["texts"]}},
            "dump": {"train_rows": rows, "heldout_rows": 65_536, "sharded": True},
            "training": {"tokens": rows, "batch_size": 1024},
            "grid": [{"variant": "batchtopk", "expansion": times, "ks": [64]}],
        }
        study = Study.from_dict(raw)
        hours = []
        for rates in DEVICES:
            costs = Requests(study, rates)
            dumps = [costs.dump(name, split) for split in ("train", "heldout")]
            work = costs.cell(study.cells[0])
            hours += [sum(map(costs.seconds, dumps)) / 3600, costs.seconds(work) / 3600]
        disk = sum(dump.disk for dump in dumps) / 1e9
        memory = (WEIGHT_BYTES * d + ACTIVATION_BYTES * 1024) * times * d / 1e9
        sizes = [f"{times * d:,}", f"{rows / 1e6:.1f} M", f"{disk:.0f} GB"]
        held = [f"{memory:.1f} GB", f"{max(x.held for x in (*dumps, work)) / 1e9:.0f} GB"]
        lines.append([words, *sizes, *held, *(_hours(each) for each in hours)])
    spent = [f"{what}, {name}" for name in DEVICES.values() for what in ("dump", "training")]
    headings = ["language model", "H", "tokens", "store", "to train", "host", *spent]
    return piped(pd.DataFrame(lines, columns=headings))


def _hours(hours: float) -> str:
    return f"{60 * hours:.0f} min" if hours < 1.5 else f"{hours:.0f} h"


OF_CODE = {"every-table": tables_of_studies, "hours": hours}

if __name__ == "__main__":
    for changed in PAGES:
        changed.write_text(renewed(changed))
