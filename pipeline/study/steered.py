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

from pipeline.jobs.json_files import digest, read_json
from pipeline.study.ancient_inputs import read_by_cells
from pipeline.study.cell import Cell
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
        "weights": [study.cell_file(cell, WEIGHTS) for cell in spec.may_steer],
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


def weights_of(spec: DialSpec | ProbeSpec) -> list[Cell]:
    """The cells whose weights a job may want."""
    return spec.cells if isinstance(spec, ProbeSpec) else spec.may_steer


def done_elsewhere(study: Study, file: str, asked: Any, made_here: MadeHere) -> bool:
    """Whether the result is there for the present configuration, was not made here, has no weights
    to repeat it, and nobody asks to repeat it."""
    spec = study.looked_into[file]
    if made_here(file):
        return False
    if all(Path(study.cell_file(cell, WEIGHTS)).exists() for cell in weights_of(spec)):
        return False
    forced = {str(name) for name in asked.forcerun}
    targets = {str(name) for name in asked.targets} if asked.forcetargets else set()
    again = bool(asked.forceall or {RULES[type(spec)], file} & forced or file in targets)
    return made_for(Path(file), spec) and not again


def made_for(file: Path, spec: DialSpec | ProbeSpec) -> bool:
    """Whether a result is there and was made for a specification."""
    try:
        return bool(read_json(file)["spec"] == digest(spec))
    except (OSError, ValueError, KeyError, TypeError):
        return False


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
        for cell in weights_of(spec)
    )
