"""Faults of section ``browser`` that concern other sections."""

from __future__ import annotations

from pipeline.study.cell import Cell
from pipeline.study.config.spelling import CellNameError
from pipeline.study.config.study_config import StudyConfig
from pipeline.study.restrictions import RESTRICTED, unknown_names


def browser_faults(config: StudyConfig) -> list[str]:
    """Those of a configuration, each with its path; none where it has no such section."""
    section = config.browser
    if section is None:
        return []
    faults = [
        f"browser.{field}: cells are listed, so leave it out"
        for field in RESTRICTED
        if getattr(section, field) and section.cells
    ]
    faults += unknown_names(config, section, "browser")
    for j, name in enumerate(section.cells or []):
        try:
            Cell.from_path(name)
        except CellNameError as error:
            faults.append(f"browser.cells.{j}: {error}")
        if name in (section.cells or [])[:j]:
            faults.append(f"browser.cells.{j}: {name!r} is listed twice")
    if not section.cells and not config.comparisons:
        faults.append(
            "browser: it shows the two sides of the first comparison, and comparisons is empty: "
            "list one, or name cells under browser.cells"
        )
    return faults
