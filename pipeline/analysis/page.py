"""Stage: a table for readers, or in another format.

    python -m pipeline page --measures DIR --table tables/comparison.csv --out tables/comparison.tex

.md, .tex and .html have the columns that readers want, .parquet all with their types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from pandas.io.formats.style import Styler

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.numbers import format_number, matched_column, with_error
from pipeline.analysis.tables.effects import EFFECTS
from pipeline.analysis.views import FORMS, HEADINGS, VIEWS, Form, View
from pipeline.study import outputs
from pipeline.study.scope import SWEPT, Scope
from pipeline.study.settings import LEVEL
from pipeline.study.training import DEFAULT_RECIPE
from sagsae.files import whole_file, write_atomic

# What LaTeX cannot set as it is, replaced once its special characters are escaped.
SYMBOLS = {
    "λ": r"$\lambda$",
    "α": r"$\alpha$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "Δ": r"$\Delta$",
    "→": r"$\to$",
    "·": r"$\cdot$",
}


class Grid(NamedTuple):
    """A table of texts."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def escaped(self, escape: str) -> Styler:
        """For pandas to write, without what "latex" or "html" would not show as it is."""
        style = pd.DataFrame(list(self.rows), columns=list(self.columns)).style.hide(axis="index")
        return style.format(escape=escape).format_index(escape=escape, axis="columns")


# Of a page: a paragraph, or a table.
Part = str | Grid


def markdown(table: Grid) -> str:
    """A pipe table, without its title."""
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    texts = ([text.replace("|", r"\|") for text in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in texts)


def markdown_page(title: str, parts: Sequence[Part]) -> str:
    """A page of paragraphs and tables, each table under its title."""
    lines = [f"# {title}"]
    for part in parts:
        lines += [part] if isinstance(part, str) else [f"### {part.title}", markdown(part)]
    return "\n\n".join(lines) + "\n"


def latex(table: Grid) -> str:
    """A ``longtable``; needs booktabs and longtable."""
    text = table.escaped("latex").to_latex(
        hrules=True,
        column_format="l" * len(table.columns),
        environment="longtable",
        caption=re.sub("([&%$#_])", r"\\\1", table.title),
    )
    for symbol, command in SYMBOLS.items():
        text = text.replace(symbol, command)
    return text


def latex_page(title: str, parts: Sequence[Part]) -> str:
    """The tables of a page, to be used by ``\\input``."""
    tables = [latex(part) for part in parts if isinstance(part, Grid)]
    return f"% {title}: needs \\usepackage{{booktabs,longtable}}\n" + "\n".join(tables)


def html(table: Grid) -> str:
    """A table of HTML, with its title as the caption."""
    style = table.escaped("html").set_caption(table.title)
    return str(style.to_html(table_attributes='class="data"', exclude_styles=True))


def html_page(title: str, parts: Sequence[Part]) -> str:
    """A page of HTML without styles."""
    shown = [html(part) if isinstance(part, Grid) else f"<p>{escape(part)}</p>" for part in parts]
    return "\n".join([f"<h1>{escape(title)}</h1>", *shown, ""])


def template(path: Path) -> Template:
    """A template of Jinja; a name that it is not given is an error. One of HTML escapes values."""
    renderer = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=".html" in path.suffixes,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    renderer.filters["table"] = lambda grid: Markup(html(grid))  # pandas has escaped the texts
    return renderer.get_template(path.name)


# Suffix -> what writes a page of that kind.
WRITERS = {".md": markdown_page, ".tex": latex_page, ".html": html_page}


def write_page(out: Path, title: str, parts: Sequence[Part]) -> None:
    """Write a page as its name says: .md, or .tex, which has the tables alone."""
    write_atomic(out, WRITERS[out.suffix](title, parts).encode())


def matched_headings(levels: Sequence[float]) -> dict[str, str]:
    """Columns of each matched L0 -> their headings: both sides, metric by metric, and why not."""
    found = {}
    for l0 in levels:
        for metric, label in SWEPT.items():
            for side in ("candidate", "baseline"):
                found[matched_column(l0, metric, side)] = f"{label} at {l0:g}, {side}"
        found[f"l0_{l0:g}_reason"] = f"No value at {l0:g}"
    return found


def parts_of(name: str, table: pd.DataFrame, scope: Scope) -> tuple[str, list[Part]]:
    """The title of a table's page, how it is read, and the tables that it is cut into."""
    view = VIEWS.get(name) or View(title=PurePath(name).stem.replace("_", " ").capitalize())
    if table.empty:
        return view.title, ["This study has nothing to show here."]
    return view.title, [*filter(None, [view.reads]), *_cut(view.prepare(table), view, scope)]


def _cut(table: pd.DataFrame, view: View, scope: Scope) -> Iterator[Grid]:
    matched = matched_headings(scope.matched_levels)
    columns = view.columns.replace("matched", " ".join(matched)).split()
    by = [name for name in view.by.split() if name in table]
    # standard errors stand beside their values
    names = (name for name in map(str, table) if name not in by)
    columns = columns or [name for name in names if not name.endswith("_se")]
    for values, rows in table.groupby(by, sort=False) if by else [((), table)]:
        words = [_named(name, value, scope) for name, value in zip(by, values, strict=True)]
        title = ": ".join(filter(None, [view.title, ", ".join(filter(None, words))]))
        yield grid(rows, columns, title, HEADINGS | matched)


def _named(name: str, value: Any, scope: Scope) -> str:
    """What one of the columns in ``by`` adds to a title."""
    if name == "recipe":
        return f"recipe {value or DEFAULT_RECIPE}" if scope.several else ""
    forms = {"l0": f"L0 = {value}", "comparison": f"comparison {value}"}
    return forms.get(name, EFFECTS.get(value, str(value)))


def grid(
    table: pd.DataFrame, columns: Sequence[str], title: str, headings: Mapping[str, str]
) -> Grid:
    """The columns that a table has and that are not empty, as texts."""
    filled = table.astype("object").replace("", None).notna().any()
    shown = [name for name in columns if filled.get(name)]
    texts = [_texts(name, table) for name in shown]
    heads = (headings.get(name, _heading(name)) for name in shown)
    return Grid(title=title, columns=tuple(heads), rows=tuple(zip(*texts, strict=True)))


def _heading(name: str) -> str:
    words = re.sub(r"^top(\d+)_", r"top \1 %, ", name.removeprefix(LEVEL)).replace("_", " ")
    return words[:1].upper() + words[1:]


def _texts(name: str, table: pd.DataFrame) -> list[str]:
    """A column as texts; a standard error of the table, in column ``<name>_se``, follows."""
    form = next((form for pattern, form in FORMS.items() if re.fullmatch(pattern, name)), None)
    errors = table[f"{name}_se"] if f"{name}_se" in table else [float("nan")] * len(table)
    return [
        text_of(value, form) if pd.isna(se) else with_error(value, se, form or format_number)
        for value, se in zip(table[name].astype("object"), errors, strict=True)
    ]


def text_of(value: Any, form: Form | None) -> str:
    """A value of a table; empty where there is none."""
    if pd.isna(value):
        return ""
    if form is not None:
        return form(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_number(value) if isinstance(value, float) else str(value)


def main(measures: Path, table: Path, out: Path) -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        table: the .csv
        out: the .md, .tex, .html or .parquet
    """
    found = read_table(table)
    if out.suffix == ".parquet":
        with whole_file(out) as partial:
            found.to_parquet(partial, index=False)
        return
    write_page(out, *parts_of(table.name, found, Scope.read(measures / outputs.SCOPE)))
