"""What jobs of the dial read: nothing if they were done elsewhere, with weights that are not here.

Results of steering are small and are kept without the weights. Where they have been put back, they
stand, and no cell is trained for them again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from pipeline.jobs.json_files import digest, read_json
from pipeline.study.ancient_inputs import read_by_cells
from pipeline.study.cell import Cell
from pipeline.study.outputs import WEIGHTS
from pipeline.study.specs import DialSpec
from pipeline.study.study import Study

RULE = "dial_run"


MadeHere = Callable[[str], bool]


def read_by_dial(study: Study, file: str, asked: Any, made_here: MadeHere) -> dict[str, Any]:
    """What the job that makes a file reads, by the name of the input.

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
        "weights": [study.cell_file(cell, WEIGHTS) for cell in spec.may_steer],
        **{name: read[name] for name in ("heldout", "baselines", "asset")},
    }


def done_elsewhere(study: Study, file: str, asked: Any, made_here: MadeHere) -> bool:
    """Whether the result is there for the present configuration, was not made here, has no weights
    to repeat it, and nobody asks to repeat it."""
    spec = study.dials[file]
    if made_here(file):
        return False
    if all(Path(study.cell_file(cell, WEIGHTS)).exists() for cell in spec.may_steer):
        return False
    forced = {str(name) for name in asked.forcerun}
    targets = {str(name) for name in asked.targets} if asked.forcetargets else set()
    again = bool(asked.forceall or {RULE, file} & forced or file in targets)
    return made_for(Path(file), spec) and not again


def made_for(file: Path, spec: DialSpec) -> bool:
    """Whether a result is there and was made for a specification."""
    try:
        return bool(read_json(file)["spec"] == digest(spec))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def weights_wanted(study: Study, asked: Any, made_here: MadeHere) -> frozenset[Cell]:
    """The cells whose weights a planned job of the dial may want; none where cells alone are asked
    for."""
    cells = PurePath(study.cells_root)
    targets = [PurePath(str(name)) for name in asked.targets]
    if targets and all(target.is_relative_to(cells) for target in targets):
        return frozenset()
    return frozenset(
        cell
        for file, spec in study.dials.items()
        if not done_elsewhere(study, file, asked, made_here)
        for cell in spec.may_steer
    )
