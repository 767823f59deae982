"""One renderer: tables for readers as Markdown, LaTeX and HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.numbers import format_number, with_error
from sagsae.files import write_atomic

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
"""What LaTeX cannot set as it is, replaced once its special characters are escaped."""
Form = Callable[[Any], str]


@dataclass(frozen=True)
class Column:
    """A column of a table as readers see it."""

    name: str
    """In the CSV."""
    heading: str
    form: Form | None = None
    """How a value is written; without one, numbers at a usable precision and texts as they are.
    A standard error of the table, in column ``<name>_se``, follows the value."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def text_of(value: Any) -> str:
    """A value of a table without a form of its own; empty where there is none."""
    if pd.isna(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_number(value) if isinstance(value, float) else str(value)


def grid(table: pd.DataFrame, columns: Sequence[Column], title: str) -> Grid:
    """The columns that a table has and that are not empty, as texts."""
    shown = [one for one in columns if one.name in table and table[one.name].notna().any()]
    shown = [one for one in shown if (table[one.name].astype("object") != "").any()]
    rows = [tuple(_text(row, one) for one in shown) for row in table.to_dict("records")]
    return Grid(title=title, columns=tuple(one.heading for one in shown), rows=tuple(rows))


def _text(row: dict[Any, Any], column: Column) -> str:
    value, se = row[column.name], row.get(f"{column.name}_se")
    if se is not None and not pd.isna(se):
        return with_error(value, se, column.form or format_number)
    return text_of(value) if column.form is None or pd.isna(value) else column.form(value)


def frame(table: Grid) -> pd.DataFrame:
    return pd.DataFrame(list(table.rows), columns=list(table.columns))


Part = str | Grid
"""Of a page: a paragraph, or a table."""


def markdown(table: Grid) -> str:
    """A pipe table, without its title."""
    rows = [table.columns, ("---",) * len(table.columns), *table.rows]
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
    style = frame(table).style.hide(axis="index")
    style = style.format(escape="latex").format_index(escape="latex", axis="columns")
    text = style.to_latex(
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
    style = frame(table).style.hide(axis="index").format(escape="html")
    style = style.format_index(escape="html", axis="columns").set_caption(table.title)
    return str(style.to_html(table_attributes='class="data"', exclude_styles=True))


def html_page(title: str, parts: Sequence[Part]) -> str:
    """A page of HTML without styles."""
    shown = [html(part) if isinstance(part, Grid) else f"<p>{escape(part)}</p>" for part in parts]
    return "\n".join([f"<h1>{escape(title)}</h1>", *shown, ""])


WRITERS = {".md": markdown_page, ".tex": latex_page, ".html": html_page}
"""Suffix -> what writes a page of that kind."""


def write_page(out: Path, title: str, parts: Sequence[Part]) -> None:
    """Write a page as its name says: .md, or .tex, which has the tables alone."""
    write_atomic(out, WRITERS[out.suffix](title, parts).encode())
