"""Tables of texts as Markdown and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.text.numbers import Grid
from sagsae.files import write_atomic

SYMBOLS = {
    "λ": r"$\lambda$",
    "θ": r"$\theta$",
    "α": r"$\alpha$",
    "±": r"$\pm$",
    "−": "$-$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "×": r"$\times$",
    "–": "--",
    "Δ": r"$\Delta$",
    "→": r"$\to$",
    "·": r"$\cdot$",
    "²": r"\textsuperscript{2}",
}
"""What LaTeX cannot set as it is, replaced once its special characters are escaped."""


def frame(grid: Grid) -> pd.DataFrame:
    return pd.DataFrame(list(grid.rows), columns=list(grid.columns))


def markdown(grid: Grid) -> str:
    """A pipe table, without its title."""
    escaped = frame(grid).map(_escaped).rename(columns=_escaped)
    return escaped.to_markdown(index=False, disable_numparse=True)


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")


def markdown_page(title: str, parts: Sequence[str | Grid]) -> str:
    """A page of paragraphs and tables, each table under its title."""
    lines = [f"# {title}"]
    for part in parts:
        if isinstance(part, Grid):
            lines += [f"### {part.title}", markdown(part)]
        else:
            lines.append(part)
    return "\n\n".join(lines) + "\n"


def latex(grid: Grid, long: bool = False) -> str:
    """A ``table`` environment, or a ``longtable`` over several pages; needs booktabs."""
    style = frame(grid).style.hide(axis="index")
    style = style.format(escape="latex").format_index(escape="latex", axis="columns")
    text = style.to_latex(
        hrules=True,
        column_format="l" * len(grid.columns),
        environment="longtable" if long else None,
        position_float=None if long else "centering",
        caption=re.sub("([&%$#_])", r"\\\1", grid.title),
    )
    for symbol, command in SYMBOLS.items():
        text = text.replace(symbol, command)
    return text


def latex_page(grids: Sequence[Grid], long: bool = False) -> str:
    """Tables one after the other, to be used by ``\\input``."""
    needs = "booktabs,longtable" if long else "booktabs"
    return f"% needs \\usepackage{{{needs}}}\n" + "\n".join(latex(grid, long) for grid in grids)


def write_page(path: Path, title: str, parts: Sequence[str | Grid]) -> None:
    """Write what people read of a CSV beside it: .md with all parts, .tex with the tables."""
    grids = [part for part in parts if isinstance(part, Grid)]
    write_atomic(path.with_suffix(".md"), markdown_page(title, parts).encode())
    write_atomic(path.with_suffix(".tex"), latex_page(grids).encode())
