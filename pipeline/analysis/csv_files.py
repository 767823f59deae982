"""CSV files of the tables folder, written and read with their types.

The job that makes some tables writes their digests last, as `sha256sum --check` reads them, behind
a line that says from which code and which configuration they follow. So an edited table is refused
by its readers, and one that something else made is seen without Snakemake's memory.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from pathlib import Path

import pandas as pd

from pipeline.analysis.code import code_digest
from pipeline.jobs.json_files import digest, sha256_of
from pipeline.study.scope import Scope
from sagsae.files import whole_file, write_atomic

# Digests of the tables that one job makes; its kind of measures names the file.
SUMS = "{kind}.sha256"

# Columns that stay text whatever they look like: a digest may read as a number.
TEXTS = re.compile(
    r"model|hookpoint|(.*_)?variant|recipe|kind|quantity|sign|collapsed|.*_reason|made_from_.*"
    r"|.*_d(evice|type)|setting|metric|protocol"
    r"|promoted_.*"
    r"|claim|statement|paper|source|here|outcome|why|criterion"
    r"|(.*_)?series|family|home_recipe|error_from|bound"
    r"|widths|level(_.*)?|measure|factor|together_with|against|hangs_on|dead_in_baseline|sentence|reference"
)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV of the tables folder with its types; an empty text is "", an empty number is NaN.

    Raises:
        ValueError: it is not as its job wrote it.
    """
    for sums in path.parent.glob(SUMS.format(kind="*")):
        expected = read_sums(sums)[1].get(path.name)
        if expected and sha256_of(path) != expected:
            raise ValueError(f"{path}: edited or damaged: delete it and run snakemake again")
    names = pd.read_csv(path, nrows=0).columns
    types = {name: "str" for name in names if TEXTS.fullmatch(name)} | {"dominates": "boolean"}
    table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    return table.fillna({name: "" for name, kind in types.items() if kind == "str"})


def write_csv(path: Path, table: pd.DataFrame, digits: str | None = "%.12g") -> None:
    """Write a table whole; twelve digits hide the last bits, in which machines may differ."""
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, float_format=digits)


def write_tables(
    folder: Path,
    kind: str,
    scope: Scope,
    tables: Mapping[str, pd.DataFrame],
    exact: Container[str] = (),
    more: str = "",
) -> None:
    """Write the tables of one job, and their digests.

    Args:
        folder: Where they go.
        kind: Names the file of digests.
        scope: Of the study.
        tables: By file name.
        exact: Names of tables whose numbers keep every digit.
        more: Digest of what else they follow from.
    """
    lines = [f"# {made_of(scope, more)}"]
    for name, table in tables.items():
        write_csv(folder / name, table, None if name in exact else "%.12g")
        lines.append(f"{sha256_of(folder / name)}  {name}")
    write_atomic(folder / SUMS.format(kind=kind), "\n".join([*lines, ""]).encode())


def made_of(scope: Scope, more: str = "") -> str:
    """Digest of the code of the analysis, of what it must know of the study, and of what else."""
    return digest([code_digest(), scope.digest, more])


def read_sums(path: Path) -> tuple[str, dict[str, str]]:
    """What the tables of one job follow from, and sha256 of each."""
    first, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    return first.removeprefix("# "), {line[66:]: line[:64] for line in lines}


def changed_tables(root: Path, scope: Scope, more: Mapping[str, str]) -> list[str]:
    """What is wrong with the tables of a study, a line for each job that made some.

    Args:
        root: Folder of the study.
        scope: What its configuration says.
        more: Kind of tables -> digest of what else they follow from.
    """
    return [
        f"{sums.parent}: tables of {sums.stem} were edited, or follow from other code or another "
        "configuration: run snakemake to make them again"
        for folder in ("tables", "synthetic")
        for sums in sorted((root / folder).glob(SUMS.format(kind="*")))
        if not are_current(sums.parent, sums.stem, scope, more)
    ]


def drop_outdated(folder: Path, scope: Scope, more: Mapping[str, str]) -> None:
    """Remove the digests of tables that were edited, or that follow from something else, so that
    Snakemake plans their jobs. The tables stay until these run."""
    for sums in folder.glob(SUMS.format(kind="*")):
        if not are_current(folder, sums.stem, scope, more):
            sums.unlink()


def are_current(folder: Path, kind: str, scope: Scope, more: Mapping[str, str]) -> bool:
    """Whether the tables of one job are there, unchanged, and follow from this code and study."""
    try:
        made, sums = read_sums(folder / SUMS.format(kind=kind))
        return made == made_of(scope, more.get(kind, "")) and all(
            sha256_of(folder / name) == expected for name, expected in sums.items()
        )
    except FileNotFoundError:
        return False
