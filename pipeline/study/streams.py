"""Which cells one job trains together, on one stream of batches (`cells_per_stream`).

A job trains the weights of several cells and leaves a file with the first of them; then each cell
has a job of its own, which finds its weights and evaluates them. Only cells that have to be trained
are put together. What was trained together is noted with each cell: Snakemake runs a job again when
its inputs are others than before, so a finished cell keeps its input whatever the grid and
`cells_per_stream` are now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

from pipeline.config.spelling import CellNameError
from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.study.cell import Cell
from pipeline.study.outputs import METRICS, SHARED, STATE, TOGETHER, TRAINED
from pipeline.study.specs import StreamSpec
from pipeline.study.study import Study


def put_together(study: Study, cells: Iterable[Cell], most: int) -> list[list[Cell]]:
    """Cells on one stream each, at most so many and evenly; different variants if there are.

    So no job has all the wide ones, which take most memory and time.
    """
    by_stream: dict[str, list[Cell]] = {}
    for cell in sorted(cells):
        by_stream.setdefault(study.train_spec(cell).stream, []).append(cell)
    return [
        alike[first::jobs]
        for alike in by_stream.values()
        for jobs in [-(-len(alike) // most)]
        for first in range(jobs)
    ]


class Streams:
    """What the jobs of cells wait for.

    Args:
        study: The study; what it has on disk is looked at when a cell is asked for.
        targets: Gives what Snakemake was asked for; empty for the default. Where cells alone are
            named, no other cell is trained with them.
        most: ``cells_per_stream``; 1 puts none together.
        planned: Gives the digests of streams that another process has put together and that are
            jobs of this one; of these the study's folder has the specs. None where this process
            plans.
    """

    def __init__(
        self,
        study: Study,
        targets: Callable[[], Iterable[str]],
        most: int,
        planned: Callable[[], Iterable[str]] | None = None,
    ):
        self._study, self._targets, self._most = study, targets, most
        self._given = planned

    def inputs(self, cell: Cell) -> dict[str, str]:
        """The file that a cell's job waits for, by the name of the input; empty for none."""
        noted, planned = self._noted(cell), self._planned.get(cell)
        file = (planned or noted) if self._given else (noted or planned)  # its plan binds a job
        return {"together": file} if file else {}

    def cells(self, stream: str) -> list[Cell]:
        """The cells of the job that trains a stream of this digest, planned now or before."""
        spec = self._specs.get(stream) or self._read(stream)
        return [one.cell for one in spec.cells]

    def write_specs(self, folder: Path = Path()) -> None:
        """Write the specs of the jobs that are planned; their paths are relative to ``folder``."""
        for name, spec in self._specs.items():
            write_json(folder / self._study.shared_spec("stream", name), spec.model_dump())

    def _noted(self, cell: Cell) -> str | None:
        """The file of the job that trained the cell, if it did so for the present specification.

        Where it is gone, it still counts for a finished cell, which needs it no more.
        """
        try:
            note = read_json(self._study.cell_file(cell, f"{STATE}/{SHARED}"))
            if note["train"] != digest(self._study.train_spec(cell)):
                return None
            file = str(note["together"])
            needed = not Path(self._study.metrics(cell)).exists()
            return None if needed and not Path(file).exists() else file
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError):  # damaged: as if it were not there
            return None

    @cached_property
    def _specs(self) -> dict[str, StreamSpec]:
        """By digest."""
        if self._given is not None:
            return {name: self._read(name) for name in self._given()}
        if self._most == 1:
            return {}
        study = self._study
        untrained = [cell for cell in self.asked() if self._to_train(cell)]
        specs = [
            StreamSpec(cells=[study.train_spec(cell) for cell in cells])
            for cells in put_together(study, untrained, self._most)
            if len(cells) > 1
        ]
        return {digest(spec): spec for spec in specs}

    def _is_kept(self, cell: Cell) -> bool:
        """Whether weights of the present specification lie with the cell, evaluated or not."""
        try:
            record = read_json(self._study.cell_file(cell, f"{STATE}/{TRAINED}"))
            return bool(record["made_from"]["train"] == digest(self._study.train_spec(cell)))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @cached_property
    def _planned(self) -> dict[Cell, str]:
        files = {
            name: self._study.cell_file(
                spec.cells[0].cell, f"{STATE}/{TOGETHER.format(stream=name)}"
            )
            for name, spec in self._specs.items()
        }
        return {one.cell: files[name] for name, spec in self._specs.items() for one in spec.cells}

    def _read(self, stream: str) -> StreamSpec:
        return StreamSpec.argument(f"@{self._study.shared_spec('stream', stream)}")

    def asked(self) -> set[Cell]:
        """Cells that were named, and those of the grid if anything else was asked for."""
        named: set[Cell] = set()
        targets = list(self._targets())
        others = not targets
        for target in targets:
            try:
                folder = Path(target).parent.relative_to(self._study.cells_root)
                named.add(Cell.from_path(folder.as_posix()))
            except (ValueError, CellNameError):
                others = True
        return named | set(self._study.cells) if others else named

    def _to_train(self, cell: Cell) -> bool:
        """Whether the cell is not there, or was trained for another specification.

        Weights that were kept wait for their evaluation: the cell's own job does that.
        """
        if self._noted(cell) or self._is_kept(cell):
            return False
        try:
            text = Path(self._study.cell_file(cell, METRICS)).read_text(encoding="utf-8")
            found = json.loads(text)["made_from"]["train"]
        except (OSError, ValueError, KeyError, TypeError):
            return True
        return bool(found != digest(self._study.train_spec(cell)))
