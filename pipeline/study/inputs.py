"""What jobs read, by the name of the input."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake.io import ancient

from pipeline.jobs.json_files import read_json
from pipeline.study.cell import Cell
from pipeline.study.looks import LookSpec
from pipeline.study.outputs import WEIGHTS

if TYPE_CHECKING:
    from pipeline.study.study import Study


def read_by_cell(study: Study, cell: Cell) -> dict[str, Any]:
    """What a cell's job reads: an autoencoder of another library on this machine, too.

    Nothing is ancient to a cell that is not made: such a cell would be left out of a run that only
    makes its files again.
    """
    known = read_by_cells(study, cell.model)
    if not Path(study.metrics(cell)).exists():
        known = {name: str(path) for name, path in known.items()}
    foreign = study.foreign.get(cell)
    source = {"source": foreign.local_files} if foreign and foreign.local_files else {}
    return known | source


@cache
def read_by_cells(study: Study, model: str) -> dict[str, str]:
    """What the cells of a model read; looked at once a run, not once a cell."""
    return {
        "asset": ancient(study.asset(model)),
        "train": ancient_if_current(study.manifest(model, "train"), study.stores[model, "train"]),
        "heldout": ancient_if_current(
            study.manifest(model, "heldout"), study.stores[model, "heldout"]
        ),
        "baselines": ancient_if_current(study.baselines(model), study.losses[model]),
    }


def ancient_if_current(path: str, expected: str) -> str:
    """``path`` for an input list, as ancient if the file was made for ``expected`` already.

    A file that was only made again, or copied, then retrains nothing. A file of another
    specification is an ordinary input: Snakemake does not look at the parameters of a job whose
    only tie to a rerun is an ancient file, so as ancient it would leave the job stale.

    Args:
        path: A manifest or baselines file, there or not.
        expected: Digest of the specification that it must have been made for.
    """
    try:
        found = read_json(path)
        made_for = found.get("spec") or found["made_from"]["baselines"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return path
    return ancient(path) if made_for == expected else path


def read_by_look(study: Study, spec: LookSpec) -> dict[str, Any]:
    """What a job reads that looks into cells: one of steering, of probes or of the browser."""
    tokens = ancient(study.tokens(spec.model, "heldout"))
    known = read_by_cells(study, spec.model) | {"tokens": tokens}
    return {
        "metrics": [study.metrics(cell) for cell in spec.metrics_of],
        "weights": [study.cell_file(cell, WEIGHTS) for cell in spec.weights_of],
        **{name: known[name] for name in spec.reads},
    }
