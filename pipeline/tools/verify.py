"""Read everything that a study has on disk, and print what the readers raise.

    snakemake --cores 1 verify
    python -m pipeline verify --configfile FILE.yaml

Nothing is changed. The exit status is 1 if something cannot be used. What an unfinished study has
not made yet is no fault.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pipeline.analysis.csv_files import changed_tables
from pipeline.cells.looks import read_autoencoder
from pipeline.cells.run import read_trained
from pipeline.data.baselines import read_baselines
from pipeline.data.documents import read_documents
from pipeline.data.features import read_features
from pipeline.data.manifests import open_store, recorded_store
from pipeline.data.model_folders import check_model
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import json_argument, read_json, sha256_of
from pipeline.jobs.progress import Progress
from pipeline.study import outputs
from pipeline.study.cell import Cell
from pipeline.study.looks import LookRun
from pipeline.study.made_for import Expected, check_made_for, made_from
from pipeline.study.measures import RUNS, Measures
from pipeline.study.metrics import read_metrics
from pipeline.study.sections import CellNameError
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG
from pipeline.study.synthetic import PROTOCOLS
from sagsae.activations.store import verify_store

# Kinds whose record names an entry of the cache that no job mends in its place.
IN_CACHE = ("models", "texts", "token stores", "baselines")


class Check(NamedTuple):
    """A file of the study, what it must have been made for, and what reads all it vouches for."""

    kind: str
    file: Path
    expected: Expected
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
class Verdict:
    """What a study has: faults, files that are not made yet, and sound files by kind."""

    faults: list[Fault] = field(default_factory=list)
    absent: list[Path] = field(default_factory=list)
    sound: Counter[str] = field(default_factory=Counter)


def checks(study: Study) -> Iterator[Check]:
    """What there is to read, in the order in which it is to be mended."""
    models = study.language_models
    for model in models:
        made_for = study.asset_made_for(model)
        yield Check("models", Path(study.asset(model)), made_for, check_model)
    if models:
        yield Check("texts", Path(study.documents), made_from(study.text_spec()), read_documents)
    for store in product(models, outputs.SPLITS):
        made_for = made_from(study.token_spec(*store))
        yield Check("token stores", Path(study.tokens(*store)), made_for, open_tokens)
    for store in product(study.models, outputs.SPLITS):
        made_for = {"spec": study.stores[store]}
        yield Check("stores", Path(study.manifest(*store)), made_for, _read_store)
    for model in models:
        made_for, read = {"baselines": study.losses[model]}, partial(_read_baselines, study, model)
        yield Check("baselines", Path(study.baselines(model)), made_for, read)
    for cell in dict.fromkeys([*study.cells, *_other_cells(study)]):
        made_for, read = study.cell_made_for(cell), partial(check_cell, cell)
        yield Check("cells", Path(study.metrics(cell)), made_for, read)
    for kind, run in RUNS.items():
        for look, spec in study.looks[kind].items():
            file, read = Path(study.look_file(kind, look)), partial(check_look, study, run)
            yield Check("looks into cells", file, made_from(spec), read)
    for job in product(PROTOCOLS, study.config.synthetic.seeds):
        if (file := Path(study.synthetic_run(*job))).exists():
            yield Check("synthetic runs", file, made_from(study.synthetic_spec(*job)), read_json)
    if (report := Path(study.report)).exists():
        yield Check("measures and tables", report, {}, partial(_read_analysis, study))


def verify(study: Study) -> Verdict:
    """Read everything. The paths of a study are relative to the working directory."""
    verdict, every = Verdict(), list(checks(study))
    progress = Progress("verify", len(every), "files")
    for done, (kind, file, expected, read) in enumerate(every, start=1):
        if not file.exists():
            verdict.absent.append(file)
            continue
        try:
            if expected:
                check_made_for(file, read_json(file), expected)
            read(file)
            verdict.sound[kind] += 1
        except Exception as error:  # readers raise many kinds; each means that nobody can use it
            entry = _entry(file) if kind in IN_CACHE else None
            verdict.faults.append(Fault(file, str(error) or type(error).__name__, entry))
        progress.update(done)
    return verdict


def _entry(record: Path) -> Path | None:
    """The entry that a record names; a model folder of the user's own lies in none."""
    try:
        return entry_folder(record, read_json(record))
    except ValueError:
        return None


def _read_store(manifest: Path) -> None:
    """Every chunk, then that the manifest's rows are in the store, and what they are made of."""
    if faults := verify_store(recorded_store(manifest, read_json(manifest))):
        raise ValueError("\n".join(faults))
    read_features(open_store(manifest))


def _read_analysis(study: Study, report: Path) -> None:
    """The measures from which the report of a finished study follows, and the tables."""
    Measures(report.parent / outputs.MEASURES, study.scope).check()
    if faults := changed_tables(report.parent, study.scope):
        raise ValueError("\n".join(faults))


def _read_baselines(study: Study, model: str, file: Path) -> None:
    record = read_json(file)
    for split in outputs.SPLITS:
        manifest, used = Path(study.manifest(model, split)), record["made_from"].get(split)
        if manifest.exists() and read_json(manifest).get("sha256") != used:
            raise ValueError(f"{file}: computed on another {split} store, {used}")
    read_baselines(file)


def check_cell(cell: Cell, file: Path) -> None:
    """Check a finished cell: its metrics, in a file, and the files beside them."""
    folder, metrics = file.parent, read_metrics(file, cell)
    used, trained = metrics.made_from, metrics.training.model_dump()
    _check_content(folder / outputs.WEIGHTS, used.weights_sha256, outputs.METRICS)
    _check_content(folder / outputs.LATENT_TENSORS, used.latents_sha256, outputs.METRICS)
    read_autoencoder(folder / outputs.WEIGHTS, cell)
    record = read_json(folder / outputs.TRAINING)
    if {key: record.get(key) for key in trained} != trained:
        raise ValueError(f"{folder / outputs.TRAINING}: of another training than {outputs.METRICS}")
    if curve := record.get("curve_sha256"):  # earlier versions wrote none
        _check_content(folder / outputs.CURVE, curve, outputs.TRAINING)
    kept = folder / outputs.STATE / outputs.TRAINED
    if kept.exists() and read_trained(kept.parent).get("weights_sha256") != used.weights_sha256:
        raise ValueError(f"{kept}: damaged, or it keeps other weights than {outputs.METRICS}")


def check_look(study: Study, kind: type[LookRun], file: Path) -> None:
    """Check what a job of steering, probes or signs left, and the weights that it used."""
    for used in kind.read(file).used:
        metrics = Path(study.metrics(used.cell))
        if not metrics.exists():
            continue
        if read_metrics(metrics, used.cell).made_from.weights_sha256 != used.weights_sha256:
            raise ValueError(f"{file}: made with weights that {used.cell.path} no longer has")


def _check_content(file: Path, expected: str, beside: str) -> None:
    if not file.exists():
        raise ValueError(f"{file}: missing, but {beside} is there")
    if (sha256 := sha256_of(file)) != expected:
        raise ValueError(f"{file}: its sha256 is {sha256}, {beside} was written beside {expected}")


def _other_cells(study: Study) -> Iterator[Cell]:
    """Finished cells beside the grid that this study can make."""
    root = Path(study.cells_root)
    for metrics in sorted(root.glob(f"*/*/*/*/{outputs.METRICS}")):
        try:
            yield study.cell_named(metrics.parent.relative_to(root).as_posix())
        except CellNameError:
            continue


def main(
    configuration: Annotated[Any, json_argument] = None,
    configfile: Path = DEFAULT_CONFIG,
    config: Sequence[str] = (),
) -> None:
    """Print what is wrong, what is not made yet, and how much is sound.

    Args:
        configuration: the study's configuration as JSON, or @FILE that holds it; else it is read
        configfile: configuration of the study (default: the local study)
        config: KEY=VALUE, as Snakemake's --config
    """
    study = (
        Study.load(configfile, config) if configuration is None else Study.from_dict(configuration)
    )
    verdict = verify(study)
    for fault in verdict.faults:
        print(fault)
    if verdict.absent:
        print(f"not made yet: {len(verdict.absent)} files, {verdict.absent[0]} the first")
    faults = f"{len(verdict.faults)} FAULT(S)" if verdict.faults else "no fault"
    counts = ", ".join(f"{kind} {count:,}" for kind, count in verdict.sound.items())
    print(f"study {study.config.study}: {faults}; sound: {counts}", flush=True)
    sys.exit(1 if verdict.faults else 0)
