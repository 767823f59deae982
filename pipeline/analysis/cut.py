"""A table as the parts of its page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd

from pipeline.analysis.columns import recipe
from pipeline.analysis.pages import Column, Grid, Part, grid
from pipeline.analysis.tables.effects import EFFECTS
from pipeline.analysis.views import VIEWS, View, matched_columns
from pipeline.study.scope import Scope
from pipeline.study.settings import LEVEL


def parts_of(name: str, table: pd.DataFrame, scope: Scope) -> tuple[str, list[Part]]:
    """The title of a table's page, how it is read, and the tables that it is cut into."""
    view = VIEWS.get(name)
    if view is None:
        title = PurePath(name).stem.replace("_", " ").capitalize()
        return title, [grid(table, _all_columns(table), title)]
    shown = view.prepare(table) if view.prepare else table
    columns = view.columns + (matched_columns(scope.matched_levels) if view.matched else ())
    found = _cut(shown, [column for column in view.by if column in shown], view, columns, scope)
    return view.title, [*filter(None, [view.reads]), *found]


def _cut(
    table: pd.DataFrame,
    by: Sequence[str],
    view: View,
    columns: Sequence[Column],
    scope: Scope,
) -> Iterator[Grid]:
    rest = [name for name in table if name not in by]
    columns = columns or _all_columns(table[rest])
    if not by:
        yield grid(table, columns, view.title)
        return
    for values, rows in table.groupby(list(by), sort=False):
        named = dict(zip(by, values, strict=True))
        words = [_named(name, value) for name, value in named.items()]
        if not scope.several and "recipe" in named:
            words.pop(list(named).index("recipe"))
        yield grid(rows, columns, ", ".join([view.title, *filter(None, words)]))


def _named(name: str, value: Any) -> str:
    if name == "recipe":
        return f"recipe {recipe(value)}"
    forms = {"l0": f"L0 = {value}", "comparison": f"comparison {value}"}
    return forms.get(name, EFFECTS.get(value, str(value)))


def _all_columns(table: pd.DataFrame) -> tuple[Column, ...]:
    """Every column but standard errors, which stand beside their values."""
    names = [str(name) for name in table if f"{name}".removesuffix("_se") == name]
    return tuple(Column(name, name.removeprefix(LEVEL).replace("_", " ")) for name in names)
