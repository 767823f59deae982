"""Read everything that a study has on disk, and print what the readers raise.

    snakemake --cores 1 verify
    python -m pipeline verify --configfile FILE.yaml

Nothing is changed. The exit status is 1 if something cannot be used. What an unfinished study has
not made yet is no fault.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pipeline.analysis.csv_files import changed_tables
from pipeline.cells.evaluate import read_autoencoder
from pipeline.cells.run import read_trained
from pipeline.data.baselines import read_baselines
from pipeline.data.documents import read_documents
from pipeline.data.manifests import open_store, read_store, recorded_store
from pipeline.data.model_folders import check_model
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import json_argument, read_json, sha256_of
from pipeline.jobs.progress import Progress
from pipeline.study.cell import Cell
from pipeline.study.made_for import Expected, check_made_for, made_from
from pipeline.study.measures import RUNS, Measures
from pipeline.study.metrics import read_metrics
from pipeline.study.outputs import (
    CURVE,
    LATENT_TENSORS,
    MEASURES,
    METRICS,
    SPLITS,
    STATE,
    TRAINED,
    TRAINING,
    WEIGHTS,
)
from pipeline.study.sections import CellNameError
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG
from pipeline.study.synthetic import PROTOCOLS

MODELS, TEXTS, TOKENS, STORES = "models", "texts", "token stores", "stores"
BASELINES, CELLS, LOOKS, SYNTHETIC = "baselines", "cells", "looks into cells", "synthetic runs"
ANALYSIS = "measures and tables"
# Kinds whose record names an entry of the cache that no job mends in its place.
IN_CACHE = (MODELS, TEXTS, TOKENS, BASELINES)


class Check(NamedTuple):
    """A file of the study, and what reads it and all that it vouches for."""

    kind: str
    file: Path
    read: Callable[[Path], object]


class Fault(NamedTuple):
    """What is wrong with a file, and the folder of the cache to delete before it is made again."""

    file: Path
    problem: str
    delete: Path | None

    def __str__(self) -> str:
        problem = self.problem.replace("\n", "\n  ")
        first = f"{self.delete} and " if self.delete else ""
        mend = f"to mend it: delete {first}{self.file}, and run snakemake again"
        return f"{self.file}\n  {problem}\n  {mend}\n"


@dataclass
class Found:
    """Everything found in one study: faults, files that are not made yet, and sound files."""

    faults: list[Fault] = field(default_factory=list)
    absent: list[Path] = field(default_factory=list)
    sound: Counter[str] = field(default_factory=Counter)


def checks(study: Study) -> Iterator[Check]:
    """What there is to read, in the order in which it is to be mended."""
    for model in study.models:
        asset = partial(_read, study.asset_made_for(model), check_model)
        yield Check(MODELS, Path(study.asset(model)), asset)
    text = partial(_read, made_from(study.text_spec()), read_documents)
    yield Check(TEXTS, Path(study.documents), text)
    for store in product(study.models, SPLITS):
        contexts = partial(_read, made_from(study.token_spec(*store)), open_tokens)
        yield Check(TOKENS, Path(study.tokens(*store)), contexts)
    for store in product(study.models, SPLITS):
        manifest, expected = study.manifest(*store), study.stores[store]
        yield Check(STORES, Path(manifest), partial(_read_store, expected))
    for model in study.models:
        yield Check(BASELINES, Path(study.baselines(model)), partial(_read_baselines, study, model))
    for cell in dict.fromkeys([*study.cells, *_other_cells(study)]):
        yield Check(CELLS, Path(study.metrics(cell)), partial(check_cell, study, cell))
    for kind in RUNS:
        for look in study.looks[kind]:
            file = Path(study.look_file(kind, look))
            yield Check(LOOKS, file, partial(check_look, study, kind, look))
    for protocol, seed in product(PROTOCOLS, study.config.synthetic.seeds):
        if (file := Path(study.synthetic_run(protocol, seed))).exists():
            spec = study.synthetic_spec(protocol, seed)
            yield Check(SYNTHETIC, file, partial(_read, made_from(spec), read_json))
    if (report := Path(study.report)).exists():
        yield Check(ANALYSIS, report, partial(_read_analysis, study))


def verify(study: Study, kinds: tuple[str, ...] = ()) -> Found:
    """Read everything, or some kinds.

    Args:
        study: Its paths are relative to the working directory.
        kinds: All if there is none.
    """
    found, chosen = Found(), [one for one in checks(study) if not kinds or one.kind in kinds]
    progress = Progress("verify", len(chosen), "files")
    for done, (kind, file, read) in enumerate(chosen, start=1):
        if not file.exists():
            found.absent.append(file)
            continue
        try:
            read(file)
            found.sound[kind] += 1
        except Exception as error:  # readers raise many kinds; each means that nobody can use it
            problem = str(error) or type(error).__name__
            found.faults.append(Fault(file, problem, _entry(file) if kind in IN_CACHE else None))
        progress.update(done)
    return found


def _entry(record: Path) -> Path | None:
    """The entry that a record names; a model folder of the user's own lies in none."""
    try:
        return entry_folder(record, read_json(record))
    except ValueError:
        return None


def _read(expected: Expected, read: Callable[[Path], object], file: Path) -> None:
    """Check what a record was made for, then read what it vouches for."""
    check_made_for(file, read_json(file), expected)
    read(file)


def _read_store(expected: str, manifest: Path) -> None:
    """Every chunk, then that the manifest's rows are in the store."""
    found = read_json(manifest)
    check_made_for(manifest, found, {"spec": expected})
    read_store(recorded_store(manifest, found))
    open_store(manifest)


def _read_analysis(study: Study, report: Path) -> None:
    """The measures from which the report of a finished study follows, and the tables."""
    Measures(report.parent / MEASURES, study.scope).check()
    if faults := changed_tables(report.parent, study.scope):
        raise ValueError("\n".join(faults))


def _read_baselines(study: Study, model: str, file: Path) -> None:
    record = read_json(file)
    check_made_for(file, record, {"baselines": study.losses[model]})
    for split in SPLITS:
        manifest, used = Path(study.manifest(model, split)), record["made_from"].get(split)
        if manifest.exists() and read_json(manifest).get("sha256") != used:
            raise ValueError(f"{file}: computed on another {split} store, {used}")
    read_baselines(file)


def check_cell(study: Study, cell: Cell, file: Path) -> None:
    """Check a finished cell: its metrics, in a file, and the files beside them."""
    folder, metrics = file.parent, read_metrics(file, cell)
    used = metrics.made_from
    check_made_for(file, {"made_from": used.model_dump()}, study.cell_made_for(cell))
    _check_content(folder / WEIGHTS, used.weights_sha256, METRICS)
    _check_content(folder / LATENT_TENSORS, used.latents_sha256, METRICS)
    read_autoencoder(folder / WEIGHTS, cell)
    record, trained = read_json(folder / TRAINING), metrics.training.model_dump()
    if {key: record.get(key) for key in trained} != trained:
        raise ValueError(f"{folder / TRAINING}: of another training than {METRICS}")
    if curve := record.get("curve_sha256"):  # earlier versions wrote none
        _check_content(folder / CURVE, curve, TRAINING)
    state = folder / STATE
    if (state / TRAINED).exists() and read_trained(state).get(
        "weights_sha256"
    ) != used.weights_sha256:
        raise ValueError(f"{state / TRAINED}: damaged, or it keeps other weights than {METRICS}")


def check_look(study: Study, kind: str, look: str, file: Path) -> None:
    """Check a file of steering, probes or signs: its content, and the weights that it was made
    with."""
    run = RUNS[kind].read(file)
    check_made_for(file, run.model_dump(), made_from(study.look_spec(kind, look)))
    for one in run.used:
        metrics = Path(study.metrics(one.cell))
        if not metrics.exists():
            continue
        if read_metrics(metrics, one.cell).made_from.weights_sha256 != one.weights_sha256:
            raise ValueError(f"{file}: made with weights that {one.cell.path} no longer has")


def _check_content(file: Path, expected: str, beside: str) -> None:
    if not file.exists():
        raise ValueError(f"{file}: missing, but {beside} is there")
    if (found := sha256_of(file)) != expected:
        raise ValueError(f"{file}: its sha256 is {found}, {beside} was written beside {expected}")


def _other_cells(study: Study) -> Iterator[Cell]:
    """Finished cells beside the grid that this study can make."""
    root = Path(study.cells_root)
    for metrics in sorted(root.glob(f"*/*/*/*/{METRICS}")):
        try:
            name = metrics.parent.relative_to(root).as_posix()
            yield study.cell_named(name)
        except CellNameError:
            continue


def main(config: Annotated[Any, json_argument] = None, configfile: Path = DEFAULT_CONFIG) -> None:
    """Print what is found.

    Args:
        config: the study's configuration as JSON, or @FILE that holds it; else it is read
        configfile: configuration of the study (default: the local study)
    """
    study = Study.load(configfile) if config is None else Study.from_dict(config)
    found = verify(study)
    for fault in found.faults:
        print(fault)
    if found.absent:
        print(f"not made yet: {len(found.absent)} files, {found.absent[0]} the first")
    verdict = f"{len(found.faults)} FAULT(S)" if found.faults else "no fault"
    counts = ", ".join(f"{kind} {count:,}" for kind, count in found.sound.items())
    print(f"study {study.config.study}: {verdict}; sound: {counts}", flush=True)
    sys.exit(1 if found.faults else 0)
