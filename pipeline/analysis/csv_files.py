"""CSV files of the tables folder, written and read with their types.

The job that makes some tables writes their digests last, as `sha256sum --check` reads them, behind
a line that says from which code and which configuration they follow. So an edited table is refused
by its readers, and one that something else made is seen without Snakemake's memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline.analysis.code import code_digest
from pipeline.analysis.table import SUMS, Made, Source, sources, table_of
from pipeline.jobs.json_files import digest, sha256_of
from pipeline.study.scope import Scope
from sagsae.files import whole_file, write_atomic


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
    """What is wrong with the tables of a study, a line for each job that made some."""
    return [
        f"{(root / source.sums).parent}: tables of {source.kind} were edited, or follow from other "
        "code or another configuration: run snakemake to make them again"
        for source in _outdated(root, scope)
    ]


def drop_outdated(root: Path, scope: Scope) -> None:
    """Remove the digests of tables that were edited, or that follow from something else, so that
    Snakemake plans their jobs. The tables stay until these run."""
    for source in _outdated(root, scope):
        (root / source.sums).unlink()


def _outdated(root: Path, scope: Scope) -> Iterator[Source]:
    """From what tables were made that are not there, were changed, or do not follow from this code
    and study."""
    for source in sources():
        path = root / source.sums
        if path.exists():
            made, sums = read_sums(path)
            files = {path.with_name(name): expected for name, expected in sums.items()}
            there = all(
                file.exists() and sha256_of(file) == expected for file, expected in files.items()
            )
            if made != made_of(scope, source) or not there:
                yield source
