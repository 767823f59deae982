"""Stage: a table for readers, or in another format.

    python -m pipeline page --measures DIR --table tables/comparison.csv --out tables/comparison.tex

.md, .tex and .html have the columns that readers want, .parquet all with their types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from pandas.io.formats.style import Styler

from pipeline.analysis.columns import Column, Form, resolved
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.numbers import format_number, with_error
from pipeline.analysis.table import Table, table_of
from pipeline.study import outputs
from pipeline.study.scope import Scope
from sagsae.files import whole_file, write_atomic

# What LaTeX cannot set as it is, replaced once its special characters are escaped.
SYMBOLS = {
    "λ": r"$\lambda$",
    "²": r"$^2$",
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
    texts: pd.DataFrame

    def escaped(self, escape: str) -> Styler:
        """For pandas to write, without what "latex" or "html" would not show as it is."""
        style = self.texts.style.hide(axis="index").format(escape=escape)
        return style.format_index(escape=escape, axis="columns")


# Of a page: a paragraph, or a table.
Part = str | Grid


def markdown(table: Grid) -> str:
    """A pipe table, without its title."""
    rows = [list(table.texts), ["---"] * len(table.texts.columns), *table.texts.to_numpy()]
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
        column_format="l" * len(table.texts.columns),
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


def parts_of(table: Table, rows: pd.DataFrame, scope: Scope) -> list[Part]:
    """How a table is read, and the tables that its page is cut into."""
    if rows.empty:
        return ["This study has nothing to show here."]
    return [*filter(None, [table.reads]), *_cut(table, table.prepare(rows), scope)]


def _cut(table: Table, rows: pd.DataFrame, scope: Scope) -> Iterator[Grid]:
    columns = list(table.shown(scope, list(map(str, rows))))
    by = [column for column in resolved(table.by) if column.name in rows]
    groups = rows.groupby([column.name for column in by], sort=False) if by else [((), rows)]
    for values, part in groups:
        words = (_named(*named, scope) for named in zip(by, values, strict=True))
        title = ": ".join(filter(None, [table.title, ", ".join(filter(None, words))]))
        yield grid(part, columns, title)


def _named(column: Column, value: Any, scope: Scope) -> str:
    """What the value of a column adds to a title: a recipe only where there are several."""
    if column.name == "recipe" and not scope.several:
        return ""
    return text_of(value, column.title or column.form or str)


def grid(rows: pd.DataFrame, columns: Sequence[Column], title: str) -> Grid:
    """The columns that a table has and that are not empty, as texts. A standard error of the
    table, in column ``<name>_se``, follows its value."""
    filled = rows.astype("object").replace("", None).notna().any()
    shown = [column for column in columns if filled.get(column.name)]
    texts = {i: _texts(rows, column) for i, column in enumerate(shown)}
    headings = [column.words for column in shown]  # of which several may be alike
    return Grid(title, pd.DataFrame(texts).set_axis(headings, axis="columns"))


def _texts(rows: pd.DataFrame, column: Column) -> list[str]:
    values, form = rows[column.name].astype("object"), column.form
    errors = rows.get(f"{column.name}_se", pd.Series(index=rows.index, dtype=float))
    return [
        text_of(value, form) if pd.isna(se) else with_error(value, se, form or format_number)
        for value, se in zip(values, errors, strict=True)
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
    rows, declared = read_table(table), table_of(table.name)
    if out.suffix == ".parquet":
        with whole_file(out) as partial:
            rows.to_parquet(partial, index=False)
        return
    scope = Scope.read(measures / outputs.SCOPE)
    write_page(out, declared.title, parts_of(declared, rows, scope))
