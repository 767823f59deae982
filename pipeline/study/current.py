"""Whether a result that is on disk was made for a study's present configuration."""

from __future__ import annotations

from pathlib import Path

from pipeline.jobs.json_files import digest, read_json
from pipeline.study.cell import Cell
from pipeline.study.study import Study


def is_current(study: Study, cell: Cell, metrics: Path) -> bool:
    """Whether metrics were measured on a cell as the study's configuration describes it."""
    try:
        made_from = read_json(metrics)["made_from"]
        found = made_from["train"], made_from["evaluate"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found == (digest(study.train_spec(cell)), digest(study.evaluate_spec(cell)))
