"""One renderer: tables for readers as Markdown, LaTeX and HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from pandas.io.formats.style import Styler

from sagsae.files import write_atomic

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
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def styler(self) -> Styler:
        return pd.DataFrame(list(self.rows), columns=list(self.columns)).style.hide(axis="index")


# Of a page: a paragraph, or a table.
Part = str | Grid


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
    style = table.styler.format(escape="latex").format_index(escape="latex", axis="columns")
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
    style = table.styler.format(escape="html").format_index(escape="html", axis="columns")
    style = style.set_caption(table.title)
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
