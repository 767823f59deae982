"""What jobs that look into cells read: nothing if they were done elsewhere, with weights that are
not here.

Results of steering and of probes are small and are kept without the weights. Where they have been
put back, they stand, and no cell is trained for them again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from snakemake.io import ancient

from pipeline.study.ancient_inputs import read_by_cells
from pipeline.study.cell import Cell
from pipeline.study.current import is_current, made_for
from pipeline.study.metrics import read_all
from pipeline.study.operating_point import chosen_cell
from pipeline.study.outputs import WEIGHTS
from pipeline.study.specs import DialSpec, ProbeSpec
from pipeline.study.study import Study

RULES: dict[type, str] = {DialSpec: "dial_run", ProbeSpec: "probe_run"}
"""What makes the files of each kind."""

MadeHere = Callable[[str], bool]


def read_by_dial(study: Study, file: str, asked: Any, made_here: MadeHere) -> dict[str, Any]:
    """What the job that makes a file of steering reads, by the name of the input.

    Args:
        study: The study; what it has on disk is looked at.
        file: One of ``study.dials``.
        asked: Snakemake's settings of the plan: ``targets``, ``forcerun``, ``forcetargets`` and
            ``forceall``.
        made_here: Whether Snakemake has a record of making a file.

    Raises:
        CellNameError: The study does not steer there.
    """
    spec = study.dial_spec(file)
    if done_elsewhere(study, file, asked, made_here):
        return {}
    read = read_by_cells(study, spec.model)
    return {
        "metrics": [study.metrics(cell) for cell in spec.candidate + spec.baseline],
        "weights": [study.cell_file(cell, WEIGHTS) for cell in weights_of(study, spec)],
        **{name: read[name] for name in ("heldout", "baselines", "asset")},
    }


def read_by_probe(study: Study, file: str, asked: Any, made_here: MadeHere) -> dict[str, Any]:
    """What the job that makes a file of probes reads; arguments and errors as in `read_by_dial`."""
    spec = study.probe_spec(file)
    if done_elsewhere(study, file, asked, made_here):
        return {}
    read = read_by_cells(study, spec.model)
    return {
        "metrics": [study.metrics(cell) for cell in spec.cells],
        "weights": [study.cell_file(cell, WEIGHTS) for cell in spec.cells],
        "tokens": ancient(study.tokens(spec.model, "heldout")),
        **{name: read[name] for name in ("heldout", "asset")},
    }


def weights_of(study: Study, spec: DialSpec | ProbeSpec) -> list[Cell]:
    """The cells whose weights a job may want.

    The job of the dial chooses a cell of each side by its L0. Where all metrics are here but some
    weights are not, the choice is known, and the other cells are not trained again for it.
    """
    if isinstance(spec, ProbeSpec):
        return spec.cells
    sides, root = (spec.candidate, spec.baseline), Path(study.cells_root)
    if _weights_are_here(study, spec.may_steer) or not all(
        is_current(study, cell, Path(study.metrics(cell))) for side in sides for cell in side
    ):
        return spec.may_steer
    chosen = (chosen_cell(spec, side, read_all(root, side)) for side in sides)
    return [cell for cell in chosen if cell is not None]


def _weights_are_here(study: Study, cells: list[Cell]) -> bool:
    return all(Path(study.cell_file(cell, WEIGHTS)).exists() for cell in cells)


def done_elsewhere(study: Study, file: str, asked: Any, made_here: MadeHere) -> bool:
    """Whether the result is there for the present configuration, was not made here, has no weights
    to repeat it, and nobody asks to repeat it."""
    spec = study.looked_into[file]
    if made_here(file):
        return False
    if _weights_are_here(study, weights_of(study, spec)):
        return False
    forced = {str(name) for name in asked.forcerun}
    targets = {str(name) for name in asked.targets} if asked.forcetargets else set()
    again = bool(asked.forceall or {RULES[type(spec)], file} & forced or file in targets)
    return made_for(Path(file), spec) and not again


def weights_wanted(study: Study, asked: Any, made_here: MadeHere) -> frozenset[Cell]:
    """The cells whose weights a planned job that looks into them may want; none where cells alone
    are asked for."""
    cells = PurePath(study.cells_root)
    targets = [PurePath(str(name)) for name in asked.targets]
    if targets and all(target.is_relative_to(cells) for target in targets):
        return frozenset()
    return frozenset(
        cell
        for file, spec in study.looked_into.items()
        if not done_elsewhere(study, file, asked, made_here)
        for cell in weights_of(study, spec)
    )
