"""A table is declared once, beside the function that makes it.

    TABLE = Table("halves", "What half the width costs", columns=["series", MIN_GAP])

    @TABLE.made_from("cells")
    def halves(metrics: Metrics, spec: Scope) -> Iterator[dict[str, Any]]: ...

The CSV file, the rule that makes it, its page, its place in the report and the types in which it is
read follow. Modules of ``pipeline.analysis.tables`` and `pipeline.claims.tables` are searched.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, partial, wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.columns import SHARED, Column, resolved
from pipeline.study import outputs
from pipeline.study.measures import RUNS, Measures
from pipeline.study.scope import Scope

# What makes a table of what its source opened, or of other tables of this source: rows, or a frame.
Make = Callable[..., Iterable[Mapping[str, Any]] | pd.DataFrame]
# Ends the name of the file with digests of the tables that one job makes.
SUMS = ".sha256"
# Columns with the k of a cell: absent where no row has one.
KS = ("k", "cell_k")
# Packages that are searched, in the order of the report. Their ``ORDER`` has names of tables in
# this order; other tables follow by module.
PACKAGES = ["pipeline.claims.tables", "pipeline.analysis.tables"]


@dataclass(frozen=True, eq=False)
class Source:
    """From what one job makes tables."""

    # Names the job and its file of digests.
    kind: str
    # Of the measures, and of the folder of results: what functions may ask for, by name.
    open: Callable[[Measures, Path], Mapping[str, Any]]
    # Whether a study makes its tables by itself.
    when: Callable[[Scope], object] = lambda scope: True
    # Tables that it reads, where the study has them; without any it reads the measures.
    tables: tuple[Table, ...] = ()
    # Of a study: other files that it reads, and a digest of what else its tables follow from.
    files: Callable[[Scope], list[str]] = lambda scope: []
    more: Callable[[Scope], str] = lambda scope: ""
    # Where the tables go, below the folder of results.
    folder: str = "tables"
    # Writes a page of all its tables beside them.
    write_page: Callable[[Path, Scope], None] | None = None

    @property
    def measures(self) -> list[str]:
        """The files of measures that it reads."""
        return [] if self.tables else [outputs.MEASURED.format(kind=self.kind)]

    @property
    def sums(self) -> str:
        """The file with digests of its tables, below the folder of results."""
        return f"{self.folder}/{self.kind}{SUMS}"

    @property
    def page(self) -> str:
        """The page of all its tables, below the folder of results."""
        return self.sums.replace(SUMS, ".md")

    def reads(self, scope: Scope) -> list[str]:
        """Paths of the tables that it reads, below the folder of results."""
        return [table.path for table in self.tables if table.is_of(scope)]


def _runs(kind: str, known: Measures, _: Path) -> dict[str, Any]:
    return {"runs": known.runs(RUNS[kind])}


# Kind of measures -> the tables that are made from them alone.
MEASURED = {
    "cells": Source("cells", lambda known, _: {"metrics": known.metrics(), "spec": known.scope}),
    **{kind: Source(kind, partial(_runs, kind), partial(Scope.jobs, kind=kind)) for kind in RUNS},
    "synthetic": Source(
        "synthetic",
        lambda known, _: {"runs": known.synthetic_runs()},
        lambda scope: scope.with_synthetic,
        folder=outputs.SYNTHETIC,
    ),
}


@dataclass(eq=False)
class Table:
    """A table: its file, its page, and what makes it."""

    # Of the file, without its suffix.
    name: str
    title: str
    # How to read it.
    reads: str = ""
    # Columns of the CSV file in one text; without them the first row says. ``whole``: those of
    # whole numbers that some rows lack.
    header: str = ""
    whole: str = ""
    # What readers see: columns, names of columns in one text, or a function that gives columns
    # which hang on the study. ``...`` stands for all other columns but standard errors.
    columns: Sequence[str | Column | Callable[[Scope], Sequence[Column]]] = ("...",)
    # Columns that cut it into tables of their own, in whose titles their values stand.
    by: Sequence[str | Column] = ()
    # Names of other columns of the CSV file that have texts; ``*`` stands for any part.
    texts: str = ""
    # Makes of the CSV file the table whose columns are shown.
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = pd.DataFrame
    # Whether a study has it, where it has what the table is made from.
    when: Callable[[Scope], bool] = lambda scope: True
    # Whether the report shows it.
    report: bool = True
    # Whether its numbers were measured, and keep every digit; computed ones have twelve.
    exact: bool = False
    source: Source = field(init=False)
    make: Callable[..., pd.DataFrame] = field(init=False)

    def made_from(self, source: str | Source) -> Callable[[Make], Callable[..., pd.DataFrame]]:
        """Declare the function that makes its rows. The names of its parameters say what it takes
        of the source, or which other tables of the same source.

        Args:
            source: A kind of measures, or what was made of them.
        """

        def declare(make: Make) -> Callable[..., pd.DataFrame]:
            @wraps(make)
            def made(*given: Any, **named: Any) -> pd.DataFrame:
                return self._framed(make(*given, **named))

            self.source = MEASURED[source] if isinstance(source, str) else source
            self.make = made
            return made

        return declare

    def _framed(self, rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
        """The table of some rows."""
        if not isinstance(rows, pd.DataFrame):
            rows = pd.DataFrame(list(rows), columns=self.header.split() or None)
        return without_idle_k(rows).astype(dict.fromkeys(self.whole.split(), "Int64"))

    @property
    def file(self) -> str:
        """Name of its CSV file."""
        return outputs.TABLE.format(name=self.name)

    @property
    def path(self) -> str:
        """Its CSV file below the folder of results."""
        return f"{self.source.folder}/{self.file}"

    def is_of(self, scope: Scope) -> bool:
        """Whether a study makes it by itself."""
        return bool(self.source.when(scope)) and self.when(scope)

    def shown(self, scope: Scope, names: Sequence[str]) -> list[Column]:
        """The columns that readers may see.

        Args:
            scope: Of the study.
            names: All columns of the table as prepared.
        """
        items = (item(scope) if callable(item) else [item] for item in self.columns)
        columns = list(resolved(column for part in items for column in part))
        known = {column.name for column in (*columns, *resolved(self.by))}
        others = [name for name in names if name not in known and name[-3:] != "_se"]
        rest = [SHARED.get(name) or Column(name) for name in others]
        return [c for column in columns for c in (rest if column.name == "..." else [column])]

    def types(self, names: Sequence[str]) -> dict[str, str]:
        """Names of columns of its CSV file -> types that its values do not tell."""
        declared = [item for item in (*self.by, *self.columns) if isinstance(item, Column)]
        types = {column.name: column.dtype for column in (*SHARED.values(), *declared)}
        patterns = types | dict.fromkeys(self.texts.split(), "str")
        return {
            name: dtype
            for name in names
            for pattern, dtype in patterns.items()
            if dtype and fnmatchcase(name, pattern)
        }


def without_idle_k(table: pd.DataFrame) -> pd.DataFrame:
    """The table without columns ``KS`` that no row has; whole numbers in the others."""
    there = [name for name in KS if name in table]
    idle = [name for name in there if table[name].isna().all()]
    return table.astype({name: "Int64" for name in there if name not in idle}).drop(columns=idle)


# Tables, and what was made of each.
Made = dict[Table, pd.DataFrame]


def make_tables(tables: Sequence[Table], given: Mapping[str, Any], scope: Scope) -> Made:
    """Those of some tables that a study has, each made once.

    Args:
        tables: All tables of a source.
        given: What the source opened.
        scope: Of the study.

    Raises:
        ValueError: a table asks for what neither is given nor is a table of the source.
    """
    by_name = {table.name: table for table in tables}

    @cache
    def made(name: str) -> Any:
        if name in given:
            return given[name]
        if name not in by_name:
            known = ", ".join([*given, *by_name])
            raise ValueError(f"a table asks for {name!r}; there is {known}")
        make = by_name[name].make
        return make(**{asked: made(asked) for asked in inspect.signature(make).parameters})

    return {table: made(table.name) for table in tables if table.when(scope)}


def declared(package: str, kind: type[Any]) -> list[Any]:
    """What modules of a package declare of some type, alone or in dictionaries, in the order of
    the report.

    Raises:
        ValueError: nothing makes what one of them declares.
    """
    searched, items = import_module(package), []
    for name in sorted(module.name for module in pkgutil.iter_modules(searched.__path__)):
        module = import_module(f"{package}.{name}")
        for key, value in vars(module).items():
            for item in value.values() if isinstance(value, dict) else (value,):
                if isinstance(item, kind):
                    if not hasattr(item, "make"):
                        raise ValueError(f"{name}: no function makes {key}: see CONTRIBUTING.md")
                    if item.make.__module__ == module.__name__:
                        items.append(item)
    first = {name: place for place, name in enumerate(searched.ORDER.split())}
    return sorted(items, key=lambda item: first.get(item.name, len(first)))


@cache
def all_tables() -> tuple[Table, ...]:
    """Every table that some study may have, in the order of the report."""
    tables = dict.fromkeys(table for package in PACKAGES for table in declared(package, Table))
    names = [table.path for table in tables]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"declared twice: {', '.join(sorted(twice))}")
    return tuple(tables)


def table_of(file: str) -> Table:
    """The table that has a file of this name.

    Raises:
        ValueError: no table has it.
    """
    for table in all_tables():
        if table.file == file:
            return table
    raise ValueError(f"{file}: no table of this name is declared, see CONTRIBUTING.md")


def tables_of(scope: Scope) -> list[Table]:
    """The tables that a study makes by itself, in the order of the report; synthetic ones apart."""
    real = (table for table in all_tables() if table.source.folder == "tables")
    return [table for table in real if table.is_of(scope)]


def sources() -> list[Source]:
    """From what tables are made, each once."""
    return list(dict.fromkeys(table.source for table in all_tables()))


def tables_from(source: Source) -> list[Table]:
    """The tables that are made from a source."""
    return [table for table in all_tables() if table.source is source]


def files_made_from(source: Source, scope: Scope) -> list[str]:
    """What the job of a source makes for a study: digests, tables, and their page if there is one;
    paths below the folder of results."""
    tables = [table.path for table in tables_from(source) if table.when(scope)]
    return [source.sums, *tables, *([source.page] if source.write_page else [])]
