"""What jobs read, by the name of the input, and whether they have to run.

Each file that a job leaves says from what it was made, see ``pipeline.study.made_for``. That record
alone decides: a job whose file is missing, damaged, or made from something else reads the file
``.configuration`` besides, which rule ``configuration`` makes anew in every run; Snakemake's
documented rule, an input that another job updates, then plans the job. Planning writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from snakemake.io import ancient

from pipeline.jobs.cache import ENTRY, entry_folder
from pipeline.jobs.json_files import read_json
from pipeline.study import outputs
from pipeline.study.cell import Cell
from pipeline.study.made_for import Expected, is_made_for, made_from
from pipeline.study.measures import Measures
from pipeline.study.outputs import BROWSER, SPLITS, WEIGHTS, Split
from pipeline.study.study import Study
from sagsae.activations.storage import is_url


def unless_current(current: bool, marker: str) -> dict[str, Any]:
    """What a job reads besides its inputs: nothing, or what makes it run.

    Args:
        current: Whether its file was made from the configuration at hand.
        marker: The file of rule ``configuration``.
    """
    return {} if current else {"configuration": marker}


def check_triggers(triggers: Iterable[Enum], newest: str) -> str:
    """A file that is newer than every result.

    Args:
        triggers: What of a job makes Snakemake repeat it.
        newest: The file.

    Raises:
        ValueError: a list of inputs does, so that the next run would make everything again.
    """
    if {"INPUT", "CODE"} & {trigger.name for trigger in triggers}:
        raise ValueError(
            "add --rerun-triggers mtime params, as profiles/default has it: by Snakemake's own "
            "choice the next run would make everything again"
        )
    return newest


class Inputs:
    """The inputs of each kind of job of a study.

    Args:
        study: The study.
        marker: The file of rule ``configuration``.
        is_forced: Whether the command line forces jobs to run.
    """

    def __init__(self, study: Study, marker: str, is_forced: Callable[[], bool]) -> None:
        self._study, self._marker, self._is_forced = study, marker, is_forced

    def _read(self, current: bool, records: Mapping[str, str]) -> dict[str, Any]:
        """Inputs of a job that reads records.

        A record that was made again, or that is gone, is no reason to repeat a job whose own file
        is current. A forced job needs all of them.
        """
        if not current:
            return dict(records) | unless_current(current, self._marker)
        there = (name for name in records if self._is_forced() or os.path.exists(records[name]))
        return {name: ancient(records[name]) for name in there}

    def asset(self, model: str) -> dict[str, Any]:
        """What the job of a language model's record reads."""
        current = is_made_for(self._study.asset(model), self._study.asset_made_for(model))
        return self._read(current, {})

    def documents(self) -> dict[str, Any]:
        """What the job of the text's record reads."""
        expected = made_from(self._study.text_spec())
        return self._read(is_made_for(self._study.documents, expected), {})

    def tokens(self, model: str, split: Split) -> dict[str, Any]:
        """What the job of a split's contexts reads."""
        study = self._study
        expected = made_from(study.token_spec(model, split))
        current = self._is_recorded(study.tokens(model, split), expected)
        return self._read(current, self._records(model, "asset", "documents"))

    def dump(self, model: str, split: Split) -> dict[str, Any]:
        """What the job of a store reads, or of rows that are drawn."""
        study, tapped = self._study, self._study.model_named(model)
        expected = {"spec": study.stores[model, split]}
        records = {}
        if other := tapped.like:
            records = {
                "train": study.manifest(other, "train"),
                "real": study.manifest(other, split),
            }
        elif not tapped.drawn:
            records = self._records(model, "asset")
            records["tokens"] = study.tokens(model, split)
            records["calibration"] = study.tokens(model, "train")
        return self._read(self._is_recorded(study.manifest(model, split), expected), records)

    def baselines(self, model: str) -> dict[str, Any]:
        """What the job of a model's own losses reads."""
        study = self._study
        current = self._is_recorded(study.baselines(model), {"baselines": study.losses[model]})
        records = self._records(model, "asset", "train", "heldout")
        return self._read(current, records | {"tokens": study.tokens(model, "heldout")})

    def cell(self, cell: Cell) -> dict[str, Any]:
        """What a cell's job reads."""
        names = ["train", "heldout"]
        names += [] if self._study.model_named(cell.model).drawn else ["asset", "baselines"]
        current = is_made_for(self._study.metrics(cell), self._study.cell_made_for(cell))
        found = self._read(current, self._records(cell.model, *names))
        source = self._study.source_of(cell)
        if source and source.local_files:
            found["source"] = list(map(ancient, source.local_files))
        return found

    def look(self, kind: str, look: str) -> dict[str, Any]:
        """What a job reads that looks into cells; that of the browser what steered with its cells,
        too. Weights that were trained again are a reason to repeat it.

        Raises:
            CellNameError: the study has no such job.
        """
        study, spec = self._study, self._study.look_spec(kind, look)
        current = is_made_for(study.look_file(kind, look), made_from(spec))
        found = self._read(current, self._records(spec.model, *spec.reads))
        found["metrics"] = [study.metrics(cell) for cell in spec.metrics_of]
        found["weights"] = [study.cell_file(cell, WEIGHTS) for cell in spec.weights_of]
        if kind == BROWSER:
            shown = set(spec.weights_of)
            found["dials"] = [
                study.look_file("dial", name)
                for name, dial in study.looks["dial"].items()
                if shown & set(dial.weights_of)
            ]
        return found

    def synthetic(self, protocol: str, seed: int) -> dict[str, Any]:
        """What the job of a synthetic protocol reads."""
        expected = made_from(self._study.synthetic_spec(protocol, seed))
        return self._read(is_made_for(self._study.synthetic_run(protocol, seed), expected), {})

    def scope(self) -> dict[str, Any]:
        """What the job of study.json reads."""
        file = Path(self._study.path(outputs.MEASURES, outputs.SCOPE))
        return self._read(is_made_for(file, self._study.scope.model_dump(mode="json")), {})

    def measures(self, name: str, files: list[str]) -> dict[str, Any]:
        """What the job of one file of measures reads.

        Args:
            name: Of the file.
            files: What is gathered in it.
        """
        known = Measures(Path(self._study.path(outputs.MEASURES)), self._study.scope)
        return {"files": files} | unless_current(known.is_current(name), self._marker)

    def _is_recorded(self, record: str, expected: Expected) -> bool:
        """Whether a record is there, was made for this study, and names what lies in its cache, or
        where its stores lie: a cache that was moved is recorded anew."""
        if not is_made_for(record, expected):
            return False
        entry, run = read_json(record).get(ENTRY, ""), self._study.run
        if is_url(entry):
            return bool(run.stores) and entry.startswith(run.stores)
        folder = entry_folder(Path(record), {ENTRY: entry}).resolve()
        return folder.is_relative_to(Path(self._study.cache).resolve())

    def _records(self, model: str, *names: str) -> dict[str, str]:
        """Records of a model and of the text that jobs read, by the name of the input."""
        study = self._study
        records = {
            "asset": study.asset(model),
            "documents": study.documents,
            "baselines": study.baselines(model),
        }
        for split in SPLITS:
            records[split] = study.manifest(model, split)
            records[f"{split}_tokens"] = study.tokens(model, split)
        return {name: records[name] for name in names}
