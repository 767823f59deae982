"""A study: a validated configuration, its grid of cells, the specifications of its stages.

A stage receives its specification, see ``pipeline.study.specs``. Snakemake compares them to decide
what to run again, so nothing else may reach a stage. One that grows with the grid reaches it
through a file that is named after its digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pipeline.jobs.cache import DIGESTS
from pipeline.jobs.json_files import digest, write_json
from pipeline.study.cell import Cell
from pipeline.study.checks import check_known, cross_faults
from pipeline.study.grid import ForeignSource, cells_of, is_foreign
from pipeline.study.looks import LookSpec, Upstream
from pipeline.study.made_for import made_from
from pipeline.study.models import Model, place_names
from pipeline.study.outputs import SPLITS, Outputs, Split
from pipeline.study.places import Place
from pipeline.study.recipes import levels_of, training_of
from pipeline.study.run_settings import RunSettings, run_part
from pipeline.study.scope import Scope, drawn_cells
from pipeline.study.sections import CellNameError, ConfigError
from pipeline.study.sources import AnyText, FileDigests, ModelSource, content_of
from pipeline.study.specs import (
    AssetSpec,
    BaselineSpec,
    DumpSpec,
    EvaluateSpec,
    ExportSpec,
    TextSpec,
    TokenSpec,
    TrainSpec,
)
from pipeline.study.study_config import DEFAULT_CONFIG, LOOKS, StudyConfig, load_yaml, sound_part
from pipeline.study.synthetic import PROTOCOLS, SyntheticSpec
from pipeline.study.training import Training


class Study(Outputs):
    """One study. Build with ``Study.load`` or ``Study.from_dict``; both raise ConfigError."""

    def __init__(self, config: StudyConfig, run: RunSettings):
        self.config, self.run = config, run
        self.models = {model.name: model for model in config.models}
        # by recipe and variant
        self._trained = cache(partial(training_of, config.training, config.recipes))
        self.cell_made_for = cache(self._cell_made_for)
        self.losses_at = cache(self._losses_at)
        super().__init__(PurePosixPath(run.results) / config.study)
        sources = {
            cell: entry.source
            for entry in config.grid
            for cell in cells_of(entry, config.models, config.hookpoints)
        }
        self.cells = sorted(sources)
        self.foreign = {cell: source for cell, source in sources.items() if source}

    @classmethod
    def from_dict(cls, raw: Any, where: str = "configuration", *, plan: bool = False) -> Study:
        """Validate a parsed configuration; every fault is reported at once.

        Args:
            raw: The content of a configuration file.
            where: What messages call it.
            plan: True if the study runs here: local text and models must be there.
        """
        rest, run, faults = run_part(raw)
        config, sound, own = sound_part(rest)
        faults += own + cross_faults(config, sound, plan=plan)
        if faults:
            lines = "\n".join(f"  {fault}" for fault in faults)
            raise ConfigError(f"{where}: {len(faults)} error(s)\n{lines}")
        return cls(config, run)

    @classmethod
    def load(cls, path: str | Path = DEFAULT_CONFIG, config: Sequence[str] = ()) -> Study:
        """Read and validate a YAML file.

        Args:
            path: The file.
            config: What Snakemake takes as ``--config``, such as ``results=FOLDER``, over the file.
        """
        raw, given = load_yaml(Path(path)), [text.partition("=") for text in config]
        over = {key: yaml.safe_load(value) for key, _, value in given}
        return cls.from_dict(raw | over if over else raw, str(path))

    def training(self, cell: Cell) -> Training:
        """The settings by which a cell is trained."""
        return self._trained(cell.recipe, cell.variant)

    def model_named(self, name: str) -> Model:
        """A model of the study; raises CellNameError that lists those there are."""
        if name not in self.models:
            raise CellNameError(f"unknown model {name!r}; this study has {', '.join(self.models)}")
        return self.models[name]

    @cached_property
    def stores(self) -> dict[tuple[str, Split], str]:
        """Digest of each store's specification, worked out once for all cells."""
        pairs = product(self.models, SPLITS)
        return {(model, split): digest(self.dump_spec(model, split)) for model, split in pairs}

    @cached_property
    def losses(self) -> dict[str, str]:
        """Digest of the specification of each model's baselines; empty of known features."""
        return {
            name: "" if model.drawn else digest(self.baseline_spec(name))
            for name, model in self.models.items()
        }

    def _losses_at(self, model: str, place: Place | None = None) -> str:
        """Digest of what the losses depend on that a job reads: not of other places at which
        transcoders are trained. Empty of known features.

        Args:
            model: Name of the model.
            place: What a transcoder reads and predicts, whose linear map is needed, too.
        """
        if self.models[model].drawn:
            return ""
        spec, crossings = self.baseline_spec(model), [place.name] if place and place.target else []
        stored = self.models[model].arrays(self.config.hookpoints)
        return digest(spec.model_copy(update={"hookpoints": stored, "crossings": crossings}))

    @property
    def records(self) -> list[str]:
        """The records of all that the study has in its cache."""
        read = self.language_models
        records = [self.asset(model) for model in read] + [self.documents] * bool(read)
        for model, split in product(read, SPLITS):
            if split == "heldout" or not self.models[model].like:
                records.append(self.tokens(model, split))
        records += [self.manifest(*store) for store in product(self.models, SPLITS)]
        return records + [self.baselines(model) for model in read]

    @property
    def language_models(self) -> list[str]:
        """Names of the models that read text, and of those that are like one."""
        return [name for name, model in self.models.items() if not model.drawn]

    @cached_property
    def digests(self) -> FileDigests:
        """Of files on this machine that the study reads."""
        return FileDigests(Path(self.cache, DIGESTS))

    @cached_property
    def sources(self) -> dict[str, ModelSource]:
        """Source of each model, as specifications have it."""
        return {name: content_of(m.source, self.digests) for name, m in self.models.items()}

    @cached_property
    def text(self) -> AnyText:
        """The text, as specifications have it."""
        return content_of(self.config.text.whole, self.digests)

    # What a stage depends on. A field takes of a larger section what its own type has.
    def asset_spec(self, model: str) -> AssetSpec:
        return AssetSpec(model=self.sources[self.model_named(model).name])

    def text_spec(self) -> TextSpec:
        return TextSpec(text=self.text)

    def token_spec(self, model: str, split: Split) -> TokenSpec:
        dump = self.config.dump
        return TokenSpec(
            asset=digest(self.asset_spec(model)),
            documents=digest(self.text_spec()),
            start_token=self.model_named(model).start_token,
            split=split,
            rows=getattr(dump, f"{split}_rows"),
            rows_per_block=dump.rows_per_block,
            slack=dump.slack,
            **self.config.text.model_dump(exclude={"source", "sources"}),
        )

    def dump_spec(self, model: str, split: Split) -> DumpSpec:
        text, tapped, dump = self.config.text, self.model_named(model), self.config.dump
        if split == "heldout":
            dump = dump.model_copy(update={"dtype": "bfloat16"})
        return DumpSpec(
            model=tapped,
            like=digest(self.dump_spec(tapped.like, "train")) if tapped.like else "",
            hookpoints=tapped.arrays(self.config.hookpoints),
            split=split,
            source=tapped.drawn,
            tokens="" if tapped.drawn else digest(self.token_spec(model, split)),
            calibration_tokens="" if tapped.drawn else digest(self.token_spec(model, "train")),
            rows=getattr(self.config.dump, f"{split}_rows"),
            seed=text.seed,
            context_length=text.context_length,
            dump=dump,
        )

    def baseline_spec(self, model: str) -> BaselineSpec:
        evaluation, tapped = self.config.evaluation, self.model_named(model)
        return BaselineSpec(
            stores=[self.stores[model, split] for split in SPLITS],
            lr_contexts=evaluation.lr_contexts,
            hookpoints=tapped.arrays(self.config.hookpoints, predicted=True),
            crossings=[
                place.name for place in tapped.places(self.config.hookpoints) if place.target
            ],
            model=tapped,
        )

    def train_spec(self, cell: Cell) -> TrainSpec:
        return TrainSpec(
            cell=cell,
            d_model=self.model_named(cell.model).d_model,
            store=self.stores[cell.model, "train"],
            training=self.training(cell),
            source=self.source_of(cell),
            files=self._foreign_files(cell),
        )

    def source_of(self, cell: Cell) -> ForeignSource | None:
        """Where a cell comes from; None if it is trained here.

        Raises:
            CellNameError: its name says that it was trained elsewhere, and no block has it.
        """
        if is_foreign(cell) and cell not in self.foreign:
            there = ", ".join(sorted(cell.path for cell in self.foreign)) or "none"
            raise CellNameError(
                f"{cell.path}: no block of the grid says where it comes from; there is {there}"
            )
        return self.foreign.get(cell)

    def _foreign_files(self, cell: Cell) -> list[str]:
        """Digests of the files on this machine that hold a cell of another library."""
        source = self.source_of(cell)
        return [self.digests.of(Path(file)) for file in source.local_files] if source else []

    def evaluate_spec(self, cell: Cell) -> EvaluateSpec:
        drawn = self.models[cell.model].drawn
        return EvaluateSpec(
            baselines=self.losses_at(cell.model, cell.place),
            store=self.stores[cell.model, "heldout"] if drawn else "",
            evaluation=self.config.evaluation,
        )

    @cached_property
    def compared(self) -> Scope:
        """What is compared, and under which recipes; with ``scope`` all that analysis knows."""
        recipes, levels = self.config.recipes, levels_of(self.config.training, self.config.recipes)
        return Scope(
            made_for={"cells": [(cell.path, self.cell_made_for(cell)) for cell in self.cells]},
            comparisons=self.config.comparisons,
            models={name: model.d_model for name, model in sorted(self.models.items())},
            hookpoints=place_names(self.config.models, self.config.hookpoints),
            recipes=recipes,
            levels=levels if recipes else {},
        )

    @cached_property
    def scope(self) -> Scope:
        """What tables, figures, claims and report must know of the study."""
        measured = {
            kind: [(look, made_from(spec)) for look, spec in specs.items()]
            for kind, specs in self.looks.items()
            if specs and LOOKS[kind].RUN
        }
        synthetic = self.config.synthetic
        protocols = [
            (f"{protocol}_seed{seed}", made_from(self.synthetic_spec(protocol, seed)))
            for protocol, seed in product(PROTOCOLS, synthetic.seeds)
        ]
        return self.compared.model_copy(
            update={
                "study": self.config.study,
                "note": self.config.note,
                "sources": self.config.text.names,
                "made_for": self.compared.made_for | measured | {"synthetic": protocols},
                "curves": [cell.path for cell in drawn_cells(self.cells, self.compared)],
                "with_synthetic": synthetic.with_study,
                "truth": any(model.drawn for model in self.config.models),
                "claims": self.config.claims,
                "reference": self.config.reference,
            }
        )

    @cached_property
    def looks(self) -> dict[str, Mapping[str, Any]]:
        """Section -> the specification of each of its jobs that look into cells, by name."""
        stores = {model: self.stores[model, "heldout"] for model in self.models}
        dtypes = {name: model.dtype for name, model in self.models.items()}
        losses = {model: self.losses_at(model) for model in self.models}
        upstream = Upstream(stores, losses, dtypes)
        sections = {kind: getattr(self.config, kind) for kind in LOOKS}
        return {
            kind: {
                name: spec.model_copy(update={"cells_made_for": self._cells_made_for(spec)})
                for name, spec in (
                    section.specs(self.compared, upstream) if section else {}
                ).items()
            }
            for kind, section in sections.items()
        }

    def _cells_made_for(self, spec: LookSpec) -> str:
        return digest([self.cell_made_for(cell) for cell in spec.metrics_of])

    def look_spec(self, kind: str, look: str) -> Any:
        """The specification of a job that looks into cells; raises CellNameError that lists those
        there are."""
        if look not in self.looks[kind]:
            there = ", ".join(self.looks[kind]) or f"none: see section {kind}"
            raise CellNameError(f"{kind}/{look}: nothing of this study makes it; it has {there}")
        return self.looks[kind][look]

    def look_file(self, kind: str, look: str = "{look}") -> str:
        """What a job makes that looks into cells."""
        return self.path(LOOKS[kind].FILE.format(kind=kind, look=look))

    # What the files of a study must have been made for, see `pipeline.study.made_for`.

    def asset_made_for(self, model: str) -> dict[str, str]:
        """What a model's record carries; of a folder of the user's own, where it lies, too."""
        source = self.model_named(model).source
        place = {"place": source.path} if source.kind == "path" else {}
        return made_from(self.asset_spec(model)) | place

    def _cell_made_for(self, cell: Cell) -> dict[str, str]:
        """What the metrics of a cell carry."""
        specs = {"train": self.train_spec(cell), "evaluate": self.evaluate_spec(cell)}
        return {name: digest(spec) for name, spec in specs.items()}

    def export_spec(self, cell: Cell) -> ExportSpec:
        """What the job that exports a cell depends on; raises CellNameError for rows of known
        features, which no language model gives."""
        model = self.model_named(cell.model)
        if model.drawn:
            raise CellNameError(f"{cell.path}: has no language model, so SAELens cannot run it")
        return ExportSpec(
            cell=cell,
            model=model,
            source=self.sources[model.name],
            start_token=model.start_token,
            context_length=self.config.text.context_length,
            max_norm_ratio=self.config.dump.max_norm_ratio,
            text=self.text,
        )

    def synthetic_spec(self, protocol: str, seed: int) -> SyntheticSpec:
        """What one seed of one synthetic protocol depends on."""
        size = self.config.synthetic.size
        return SyntheticSpec(protocol=protocol, seed=seed, size=size)

    @property
    def configuration(self) -> dict[str, Any]:
        """What `from_dict` makes this study of again, with all defaults."""
        return self.config.model_dump() | self.run.places

    @cached_property
    def shared_specs(self) -> dict[str, str]:
        """Name -> file of each spec that covers the whole grid, too long for a command line.
        The file's name has the digest of the spec: a command changes with the content."""
        return {name: self.shared_spec(name, digest(spec)) for name, spec in self._shared().items()}

    def _shared(self) -> dict[str, dict[str, Any]]:
        return {
            "scope": self.scope.model_dump(),
            "configuration": self.configuration,
            "text": self.config.text.whole.model_dump(),
        }

    def write_shared_specs(self, folder: Path = Path()) -> None:
        """Write the files of ``shared_specs``, whose paths are relative to ``folder``, and those of
        the jobs that look into cells."""
        specs = [
            (kind, spec.model_dump()) for kind, jobs in self.looks.items() for spec in jobs.values()
        ]
        for name, spec in [*self._shared().items(), *specs]:
            write_json(folder / self.shared_spec(name, digest(spec)), spec)

    @property
    def cache(self) -> str:
        """The folder of what studies share, see ``pipeline.jobs.cache``."""
        beside = PurePosixPath(self.run.results).parent / "cache"
        return self.run.cache or str(beside)

    def cell_named(self, name: str) -> Cell:
        """A cell by its path below ``cells/``, on the grid or off it.

        Raises:
            CellNameError: not canonical, or not of this study, see `check_known`.
        """
        cell = Cell.from_path(name)
        check_known(cell, self.config)
        return cell
