"""Files of figures and tables that a study makes in further formats (section ``formats``)."""

from __future__ import annotations

from pathlib import PurePath

from pipeline.study.figures import FIGURE_PROTOCOLS
from pipeline.study.study import Study

SUFFIXES = {"latex": ".tex", "parquet": ".parquet"}


def figure_files(study: Study) -> tuple[str, ...]:
    """Suffixes of the files of a figure."""
    return ("png", *study.run.formats.figures, "csv")


def converted_tables(study: Study) -> dict[str, str]:
    """File to convert a table to -> the CSV of that table; without those that stages write."""
    return _converted(study, [study.table(name) for name in study.every_table])


def converted_synthetic(study: Study) -> dict[str, str]:
    """The same of the means of the synthetic protocols."""
    names = dict.fromkeys(["summary", *FIGURE_PROTOCOLS.values()])
    return _converted(study, [study.synthetic_table(name) for name in names])


def _converted(study: Study, made: list[str]) -> dict[str, str]:
    found = {
        str(PurePath(table).with_suffix(SUFFIXES[name])): table
        for name in study.run.formats.tables
        for table in made
        if table.endswith(".csv")
    }
    return {path: table for path, table in found.items() if path not in made}
