"""Cells of which the metrics alone are here: they were finished on another machine.

Their jobs want no store. So a study that continues elsewhere dumps only the stores of models that
still have cells to train, and trains no finished cell again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from pipeline.study.browsed import weights_shown
from pipeline.study.cell import Cell
from pipeline.study.current import is_current
from pipeline.study.exported import weights_exported
from pipeline.study.outputs import METRICS, WEIGHTS
from pipeline.study.steered import weights_wanted
from pipeline.study.study import Study

RULE = "cell"


class Kept:
    """Which cells were finished elsewhere and have no weights here.

    Args:
        study: The study; what it has on disk is looked at when a cell is asked for.
        asked: Gives Snakemake's settings of the plan: ``targets``, ``forcerun``, ``forcetargets``
            and ``forceall``.
        made_here: Whether Snakemake has a record of making a file. Such a file's job must keep its
            inputs, since it runs again when they change.
    """

    def __init__(self, study: Study, asked: Callable[[], Any], made_here: Callable[[str], bool]):
        self._study, self._asked, self._made_here = study, asked, made_here

    def holds(self, cell: Cell) -> bool:
        """Whether the cell's job reads nothing; what is to be trained again does."""
        metrics = Path(self._study.metrics(cell))
        weights = Path(self._study.cell_file(cell, WEIGHTS))
        if weights.exists() or not metrics.exists() or self._wanted(cell):
            return False
        if cell in self._looked_into | self._exported or self._made_here(str(metrics)):
            return False
        return is_current(self._study, cell, metrics)

    @cached_property
    def _looked_into(self) -> frozenset[Cell]:
        """Those whose weights a job of the dial or of the latent browser reads."""
        asked = self._asked()
        steered = weights_wanted(self._study, asked, self._made_here)
        return steered | weights_shown(self._study, asked)

    @cached_property
    def _exported(self) -> frozenset[Cell]:
        """Those whose weights a job will export."""
        targets = [PurePath(str(name)) for name in self._asked().targets]
        return weights_exported(self._study, targets)

    def forced(self, cell: Cell) -> bool:
        """Whether the cell is to be trained again."""
        asked, metrics = self._asked(), PurePosixPath(self._study.metrics(cell))
        forced = {str(name) for name in asked.forcerun}
        return bool(
            asked.forceall
            or RULE in forced
            or any(PurePosixPath(name).parent == metrics.parent for name in forced)
            or (asked.forcetargets and self._named(metrics))
        )

    def _wanted(self, cell: Cell) -> bool:
        """Whether the cell is forced, or more of it than its metrics is asked for."""
        named = self._named(PurePosixPath(self._study.metrics(cell)))
        return self.forced(cell) or bool(named - {METRICS})

    def _named(self, metrics: PurePosixPath) -> set[str]:
        """The names of a cell's files among the targets."""
        targets = {PurePosixPath(str(name)) for name in self._asked().targets}
        return {path.name for path in targets if path.parent == metrics.parent}
