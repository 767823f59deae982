"""What jobs read, by the name of the input."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from snakemake.io import ancient

from pipeline.jobs.cache import ENTRY, entry_folder
from pipeline.jobs.json_files import read_json
from pipeline.study.cell import Cell
from pipeline.study.made_for import Expected, is_made_for, made_from
from pipeline.study.outputs import BROWSER, SPLITS, WEIGHTS, Split
from pipeline.study.study import Study
from sagsae.activations.storage import is_url


def is_recorded(study: Study, record: str, expected: Expected) -> bool:
    """Whether a record is there, was made for this study, and names what lies in its cache, or
    where its stores lie: a cache that was moved is recorded anew."""
    if not is_made_for(record, expected):
        return False
    entry = read_json(record).get(ENTRY, "")
    if is_url(entry):
        return bool(study.run.stores) and entry.startswith(study.run.stores)
    return (
        entry_folder(Path(record), {ENTRY: entry})
        .resolve()
        .is_relative_to(Path(study.cache).resolve())
    )


def inputs_of(output: str, current: bool, paths: Mapping[str, Any]) -> dict[str, Any]:
    """What the job of an output reads, so that an output of another configuration is made again.

    Such an output is dated back, and no input is ancient to it: Snakemake's documented rule, a
    newer input, then plans it without any memory of its own. Nor is anything ancient to an output
    that is not there: it would be left out of a run that only makes its inputs again.

    Args:
        output: A file of the job, there or not.
        current: Whether it is there, and is of the configuration at hand.
        paths: Name of an input -> its files.
    """
    if current:
        return dict(paths)
    if os.path.exists(output):
        os.utime(output, (1, 1))  # Snakemake takes 0 for no date
    return {
        name: [str(file) for file in path] if isinstance(path, list) else str(path)
        for name, path in paths.items()
    }


# What jobs read that read nothing of a study: a file that is older than all they make.
PROGRAM = str(Path(__file__).resolve().parents[2] / "pyproject.toml")


def read_by_none(file: str, expected: Expected) -> dict[str, Any]:
    """What a job reads that reads nothing of the study: where its file is of another configuration,
    something that is newer than the file."""
    stale = os.path.exists(file) and not is_made_for(file, expected)
    return inputs_of(file, not stale, {"program": PROGRAM}) if stale else {}


def read_by_tokens(study: Study, model: str, split: Split) -> dict[str, Any]:
    """What the job of a split's contexts reads."""
    known = read_of(study, model)
    paths = {name: known[name] for name in ("asset", "documents")}
    made_for, file = made_from(study.token_spec(model, split)), study.tokens(model, split)
    return inputs_of(file, is_recorded(study, file, made_for), paths)


def read_by_dump(study: Study, model: str, split: Split) -> dict[str, Any]:
    """What the job of a store reads, or of rows that are drawn like those of another model."""
    known, expected = read_of(study, model), {"spec": study.stores[model, split]}
    if study.models[model].drawn:
        return read_by_none(study.manifest(model, split), expected)
    if like := study.models[model].like:
        other = read_of(study, like)
        paths = {"train": other["train"], "real": other[split]}
    else:
        paths = {"asset": known["asset"], "tokens": known[f"{split}_tokens"]}
        paths["calibration"] = known["train_tokens"]
    file = study.manifest(model, split)
    return inputs_of(file, is_recorded(study, file, expected), paths)


def read_by_baselines(study: Study, model: str) -> dict[str, Any]:
    """What the job of a model's own losses reads."""
    known = read_of(study, model)
    paths = {name: known[name] for name in ("asset", "train", "heldout")}
    paths["tokens"] = known["heldout_tokens"]
    file = study.baselines(model)
    expected = {"baselines": study.losses[model]}
    return inputs_of(file, is_recorded(study, file, expected), paths)


def read_by_cell(study: Study, cell: Cell) -> dict[str, Any]:
    """What a cell's job reads: an autoencoder of another library on this machine, too."""
    known, foreign = read_of(study, cell.model), study.foreign.get(cell)
    names = ["train", "heldout"]
    names += [] if study.models[cell.model].drawn else ["asset", "baselines"]
    paths, file = {name: known[name] for name in names}, study.metrics(cell)
    found = inputs_of(file, is_made_for(file, study.cell_made_for(cell)), paths)
    return found | ({"source": foreign.local_files} if foreign and foreign.local_files else {})


def read_by_look(study: Study, kind: str, look: str) -> dict[str, Any]:
    """What a job reads that looks into cells; that of the browser what steered with its cells, too.

    Raises:
        CellNameError: the study has no such job.
    """
    spec, file = study.look_spec(kind, look), study.look_file(kind, look)
    known = read_of(study, spec.model)
    paths = {
        "metrics": [study.metrics(cell) for cell in spec.metrics_of],
        "weights": [study.cell_file(cell, WEIGHTS) for cell in spec.weights_of],
        **{name: known[name] for name in spec.reads},
    }
    if kind == BROWSER:
        shown, steered = set(spec.weights_of), study.looks["dial"]
        paths["dials"] = [
            study.look_file("dial", name)
            for name, dial in steered.items()
            if shown & set(dial.weights_of)
        ]
    return inputs_of(file, is_made_for(file, made_from(spec)), paths)


@cache
def read_of(study: Study, model: str) -> dict[str, str]:
    """What jobs read of a model and of the text, looked at once a run, not once a cell.

    A record of this study is ancient: one that was only made again, or copied, retrains nothing.
    Any other is an ordinary input: Snakemake does not look at the parameters of a job whose only
    tie to a rerun is an ancient file, so as ancient it would leave the job stale.
    """
    study.model_named(model)
    expected: dict[str, tuple[str, Expected]] = {
        "asset": (study.asset(model), study.asset_made_for(model)),
        "documents": (study.documents, made_from(study.text_spec())),
        "baselines": (study.baselines(model), {"baselines": study.losses[model]}),
    }
    for split in SPLITS:
        contexts = made_from(study.token_spec(model, split))
        expected[f"{split}_tokens"] = (study.tokens(model, split), contexts)
        expected[split] = (study.manifest(model, split), {"spec": study.stores[model, split]})
    return {
        name: ancient(record) if is_made_for(record, made_for) else record
        for name, (record, made_for) in expected.items()
    }
