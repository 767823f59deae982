"""Which inputs of a cell may be newer than the cell without training it again."""

from __future__ import annotations

from functools import cache

from snakemake.io import ancient

from pipeline.jobs.json_files import read_json
from pipeline.study.study import Study


@cache
def read_by_cells(study: Study, model: str) -> dict[str, str]:
    """What the cells of a model read; looked at once a run, not once a cell."""
    return {
        "asset": ancient(study.asset(model)),
        "train": ancient_if_current(*study.manifest_and_digest(model, "train")),
        "heldout": ancient_if_current(*study.manifest_and_digest(model, "heldout")),
        "baselines": ancient_if_current(*study.baselines_and_digest(model)),
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
