"""Stage: the tables that follow from one kind of measures, or from other tables.

    python -m pipeline tables --measures DIR --root DIR
    python -m pipeline tables --of dial --measures DIR --root DIR

CSVs hold every digit of what was measured, and twelve of what was computed from it. The job that
makes some tables writes their digests last, as `sha256sum --check` reads them, behind a line that
says from which code and which configuration they follow. So an edited table is refused by its
readers, and one that something else made is seen without Snakemake's memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from pipeline.analysis.table import SUMS, Made, Source, make_tables, sources, table_of, tables_from
from pipeline.jobs.json_files import digest, sha256_of
from pipeline.study.measures import Measures
from pipeline.study.scope import Scope
from sagsae.files import whole_file, write_atomic

CHECKOUT = Path(__file__).resolve().parents[2]
# Where the analysis begins; all that is imported from there belongs to it.
FIRST = ("pipeline/analysis", "pipeline/claims")
# An import of this project: its module, and the names that may be modules below it.
IMPORT = re.compile(
    r"^[ \t]*(?:from ((?:pipeline|sagsae)[\w.]*) import (\([^)]*\)|[^\n(]*)"
    r"|import ((?:pipeline|sagsae)[\w.]*))",
    re.MULTILINE,
)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV of the tables folder with the types that its table declares; an empty text is "", an
    empty number is NaN.

    Raises:
        ValueError: it is not as its job wrote it, or no table has a file of this name.
    """
    for sums in path.parent.glob(f"*{SUMS}"):
        expected = read_sums(sums)[1].get(path.name)
        if expected and sha256_of(path) != expected:
            raise ValueError(f"{path}: edited or damaged: delete it and run snakemake again")
    types = table_of(path.name).types(list(pd.read_csv(path, nrows=0).columns))
    table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    return table.fillna({name: "" for name, kind in types.items() if kind == "str"})


def write_csv(path: Path, table: pd.DataFrame, digits: str | None = "%.12g") -> None:
    """Write a table whole; twelve digits hide the last bits, in which machines may differ."""
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, float_format=digits)


def write_tables(root: Path, source: Source, scope: Scope, tables: Made) -> None:
    """Write the tables of one job, and their digests.

    Args:
        root: Folder of the results.
        source: From what they were made.
        scope: Of the study.
        tables: What was made.
    """
    lines = [f"# {made_of(scope, source)}"]
    for table, rows in tables.items():
        write_csv(root / table.path, rows, None if table.exact else "%.12g")
        lines.append(f"{sha256_of(root / table.path)}  {table.file}")
    write_atomic(root / source.sums, "\n".join([*lines, ""]).encode())


def made_of(scope: Scope, source: Source | None = None) -> str:
    """Digest of the code of the analysis, of what it must know of the study, and of what else the
    tables of a source follow from."""
    return digest([code_digest(), scope.digest, source.more(scope) if source else ""])


def read_sums(path: Path) -> tuple[str, dict[str, str]]:
    """What the tables of one job follow from, and sha256 of each."""
    first, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    return first.removeprefix("# "), {line[66:]: line[:64] for line in lines}


def changed_tables(root: Path, scope: Scope) -> list[str]:
    """What is wrong with the tables of a finished study, a line for each job that makes some."""
    return [
        f"{(root / source.sums).parent}: tables of {source.kind} are missing, were edited, or "
        "follow from other code or another configuration: run snakemake to make them again"
        for source in sources()
        if source.when(scope) and not current_tables(root, source, scope)
    ]


def current_tables(root: Path, source: Source, scope: Scope) -> bool:
    """Whether the tables of one job are there as the job wrote them, and follow from this code and
    this study."""
    path = root / source.sums
    if not path.exists():
        return False
    made, sums = read_sums(path)
    files = [path.with_name(name) for name in sums]
    now = {file.name: sha256_of(file) for file in files if file.exists()}
    return made == made_of(scope, source) and now == sums


@cache
def code_digest() -> str:
    """Digest of the sources of the analysis and of all of this project that they import. It is a
    parameter of the rules of analysis, so that a changed line makes tables again."""
    sha256 = hashlib.sha256()
    for path in sorted(code_files()):
        sha256.update(path.read_bytes())
    return sha256.hexdigest()[:16]


def code_files() -> set[Path]:
    """The files of the analysis, and those that they import, directly or not."""
    begin = [path for folder in FIRST for path in (CHECKOUT / folder).rglob("*.*")]
    known = {path for path in begin if path.suffix in (".j2", ".mplstyle")}
    waiting = [path for path in begin if path.suffix == ".py"]
    while waiting:
        path = waiting.pop()
        if path not in known:
            known.add(path)
            waiting += [file for name in imported(path.read_text()) for file in _files_of(name)]
    return known


def imported(source: str) -> Iterator[str]:
    """Dotted names that a source imports of this project, modules or what lies in them."""
    for module, names, whole in IMPORT.findall(source):
        yield module or whole
        for name in re.findall(r"(\w+)(?: as \w+)?", names):
            yield f"{module}.{name}"


def _files_of(name: str) -> list[Path]:
    """The file of a module, with those of the packages around it; none if it is no module."""
    place = CHECKOUT.joinpath(*name.split("."))
    around = [at for at in (place, *place.parents) if at.is_relative_to(CHECKOUT)]
    files = [file for at in around for file in (at / "__init__.py", at.with_suffix(".py"))]
    return [file for file in files if file.is_file()]


def main(measures: Path, root: Path, of: str = "cells") -> None:
    """Run the stage.

    Args:
        measures: folder of the measures
        root: folder of the results, where the tables go
        of: from what they are made, such as cells, dial, ranking, claims or synthetic
    """
    by_kind = {source.kind: source for source in sources()}
    if of not in by_kind:
        raise ValueError(f"--of {of}: tables are made from {', '.join(by_kind)}")
    known, source = Measures(measures), by_kind[of]
    made = make_tables(tables_from(source), source.open(known, root), known.scope)
    write_tables(root, source, known.scope, made)
    if source.write_page:
        source.write_page(root / source.page, known.scope)
