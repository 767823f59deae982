"""In which further formats figures and tables are written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.study.config.sections import Section

FigureFormat = Literal["svg", "pdf"]
TableFormat = Literal["latex", "parquet"]


def _once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("names a format twice")
    return names


_UNIQUE = {"uniqueItems": True}


class Formats(Section):
    """What is written of figures beside their PNG and CSV, and of tables beside their CSV."""

    figures: Annotated[
        list[FigureFormat], AfterValidator(_once), Field(json_schema_extra=_UNIQUE)
    ] = []
    """svg, pdf: for papers and slides. Equal figures have equal files."""
    tables: Annotated[
        list[TableFormat], AfterValidator(_once), Field(json_schema_extra=_UNIQUE)
    ] = []
    """parquet: every table with the types of its columns. latex: the columns that readers want."""
