"""Finished cells that Snakemake does not know to be finished: their jobs train nothing again.

A scheduler's jobs outlive the Snakemake that submitted them, and Snakemake learns late of their
end. So a cell may be whole while the next run takes it for begun. And where one job of a submission
fails, Snakemake removes the outputs of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.jobs.json_files import read_json, write_json
from pipeline.jobs.stage import locked
from pipeline.study.cell import Cell
from pipeline.study.outputs import STATE, TRAINED
from pipeline.study.study import Study
from sagsae.files import LockedError


def mark_unnoted(study: Study, cells: Iterable[Cell], begun: Iterable[str]) -> list[Cell]:
    """Mark the kept weights of finished cells whose outputs nobody has noted.

    Args:
        study: The study.
        cells: Those that may be planned, and that nobody has demanded to be trained again.
        begun: Metrics files of which Snakemake knows the beginning alone.

    Returns:
        The cells that were marked.
    """
    unsure, marked = set(begun), []
    for cell in cells:
        metrics = study.metrics(cell)
        if metrics not in unsure and Path(metrics).exists():
            continue
        state = Path(study.cell_file(cell, STATE))
        if not (state / TRAINED).exists():
            continue
        try:
            with locked(state, patience=0.0):
                record = read_json(state / TRAINED)
                if "evaluated" in record and not record.get("orphaned"):
                    write_json(state / TRAINED, record | {"orphaned": True})
                    marked.append(cell)
        except (LockedError, ValueError):  # at work, and the next job waits for it; or damaged
            continue
    return marked
