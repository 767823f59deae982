"""Cells whose weights another library has trained: they are read and evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from pipeline.study.blocks import axes_of, cells_of
from pipeline.study.cell import Cell
from pipeline.study.config.foreign import ForeignSource
from pipeline.study.config.spelling import CellNameError
from pipeline.study.config.study_config import StudyConfig
from sagsae.autoencoders.registry import ELSEWHERE


def is_foreign(cell: Cell) -> bool:
    """Whether a cell's name says that it was trained elsewhere."""
    return ELSEWHERE.fullmatch(cell.variant) is not None


def foreign_cells(config: StudyConfig) -> dict[Cell, ForeignSource]:
    """The cells of the grid that were trained elsewhere, and where each comes from."""
    return {
        cell: entry.source
        for entry in config.grid
        if entry.source is not None
        for cell in cells_of(entry, config)
    }


def source_of(known: Mapping[Cell, ForeignSource], cell: Cell) -> ForeignSource | None:
    """Where a cell comes from; None if it is trained here.

    Raises:
        CellNameError: its name says that it was trained elsewhere, and no block has it.
    """
    if is_foreign(cell) and cell not in known:
        there = ", ".join(sorted(one.path for one in known)) or "none"
        raise CellNameError(
            f"{cell.path}: no block of the grid says where it comes from; there is {there}"
        )
    return known.get(cell)


def foreign_faults(config: StudyConfig) -> list[str]:
    """Faults of the blocks whose autoencoders were trained elsewhere, each with its path."""
    faults = []
    for i, entry in enumerate(config.grid):
        elsewhere = ELSEWHERE.fullmatch(entry.variant)
        if elsewhere and entry.source is None:
            faults.append(f"grid.{i}.source: say where {entry.variant!r} comes from")
        if entry.source is None:
            continue
        if not elsewhere:
            faults.append(
                f"grid.{i}.variant: {entry.variant!r} is trained here; name what comes from "
                "elsewhere foreign-..., in small letters, digits and -"
            )
        if entry.recipes is not None:
            faults.append(f"grid.{i}.recipes: what was trained elsewhere has none")
        if (count := prod(len(axis) for axis in axes_of(entry, config))) != 1:
            faults.append(
                f"grid.{i}.source: is one cell, and the block has {count}: give it one of models, "
                "hookpoints, lambdas and seeds"
            )
    return faults
