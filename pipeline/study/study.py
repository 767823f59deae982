"""A study: a validated configuration, its grid of cells, the specifications of its stages.

A stage receives its specification, see ``pipeline.study.specs``. Snakemake compares them to decide
what to run again, so nothing else may reach a stage. One that grows with the grid reaches it
through a file that is named after its digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.jobs.cache import DIGESTS
from pipeline.jobs.json_files import digest, write_json
from pipeline.study.browser import browser_specs
from pipeline.study.cell import Cell
from pipeline.study.checks import absent_files, check_known, cross_faults
from pipeline.study.dial import DialSpec, dial_specs
from pipeline.study.grid import cells_of, foreign_cells, source_of
from pipeline.study.made_for import made_from
from pipeline.study.outputs import BROWSER, SPLITS, Outputs, Split
from pipeline.study.probe import ProbeSpec, probe_specs
from pipeline.study.recipes import levels_of, training_of
from pipeline.study.run_settings import RunSettings, run_part
from pipeline.study.scope import Scope, drawn_cells
from pipeline.study.sections import CellNameError, ConfigError
from pipeline.study.signs import SignsSpec, signs_specs
from pipeline.study.sources import AnyText, ModelSource, content_of
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
from pipeline.study.study_config import (
    DEFAULT_CONFIG,
    Model,
    StudyConfig,
    load_yaml,
    sound_part,
)
from pipeline.study.synthetic import PROTOCOLS, SyntheticSpec
from pipeline.study.training import Training


class Study(Outputs):
    """One study. Build with ``Study.load`` or ``Study.from_dict``; both raise ConfigError."""

    def __init__(self, config: StudyConfig, run: RunSettings):
        self.config, self.run = config, run
        self.models = {model.name: model for model in config.models}
        self._trained = cache(partial(training_of, config))  # by recipe and variant
        super().__init__(PurePosixPath(run.results) / config.study)
        self.foreign = foreign_cells(config)
        self.cells = sorted({cell for entry in config.grid for cell in cells_of(entry, config)})

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
        faults += own + cross_faults(config, sound)
        faults += absent_files(config, sound) if plan else []
        if faults:
            lines = "\n".join(f"  {fault}" for fault in faults)
            raise ConfigError(f"{where}: {len(faults)} error(s)\n{lines}")
        return cls(config, run)

    @classmethod
    def load(cls, path: str | Path = DEFAULT_CONFIG) -> Study:
        """Read and validate a YAML file."""
        return cls.from_dict(load_yaml(Path(path)), str(path))

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
        """Digest of the specification of each model's baselines."""
        return {model: digest(self.baseline_spec(model)) for model in self.models}

    @cached_property
    def sources(self) -> dict[str, ModelSource]:
        """Source of each model, as specifications have it."""
        memory = Path(self.cache, DIGESTS)
        return {name: content_of(model.source, memory) for name, model in self.models.items()}

    @cached_property
    def text(self) -> AnyText:
        """The text, as specifications have it."""
        return content_of(self.config.text.whole, Path(self.cache, DIGESTS))

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
        text, tapped = self.config.text, self.model_named(model)
        return DumpSpec(
            model=tapped,
            like=digest(self.dump_spec(tapped.like, "train")) if tapped.like else "",
            hookpoints=sorted(self.config.hookpoints),
            split=split,
            tokens=digest(self.token_spec(model, split)),
            calibration_tokens=digest(self.token_spec(model, "train")),
            rows=getattr(self.config.dump, f"{split}_rows"),
            seed=text.seed,
            context_length=text.context_length,
            dump=self.config.dump,
        )

    def baseline_spec(self, model: str) -> BaselineSpec:
        evaluation = self.config.evaluation
        return BaselineSpec(
            stores=[self.stores[model, split] for split in SPLITS],
            lr_contexts=evaluation.lr_contexts,
            hookpoints=sorted(self.config.hookpoints),
            model=self.model_named(model),
        )

    def train_spec(self, cell: Cell) -> TrainSpec:
        return TrainSpec(
            cell=cell,
            d_model=self.model_named(cell.model).d_model,
            store=self.stores[cell.model, "train"],
            training=self.training(cell),
            source=source_of(self.foreign, cell),
        )

    def evaluate_spec(self, cell: Cell) -> EvaluateSpec:
        baselines = self.losses[cell.model]
        return EvaluateSpec(baselines=baselines, evaluation=self.config.evaluation)

    @cached_property
    def compared(self) -> Scope:
        """What is compared, and under which recipes; with ``scope`` all that analysis knows."""
        recipes = {name: recipe.model_dump() for name, recipe in self.config.recipes.items()}
        named = {"recipes": recipes, "levels": levels_of(self.config)} if recipes else {}
        values = {
            "made_for": {"cells": {cell.path: self.cell_made_for(cell) for cell in self.cells}},
            "comparisons": [item.model_dump() for item in self.config.comparisons],
            "models": {name: model.d_model for name, model in sorted(self.models.items())},
            "hookpoints": self.config.hookpoints,
            **named,
        }
        return Scope.model_validate(values)

    @cached_property
    def scope(self) -> Scope:
        """What tables, figures, claims and report must know of the study."""
        synthetic = self.config.synthetic
        looks = {
            kind: {self.name_below(kind, file): made_from(spec) for file, spec in specs.items()}
            for kind, specs in self.looks.items()
            if specs and kind != BROWSER
        }
        own = {
            "study": self.config.study,
            "note": self.config.note,
            "sources": self.config.text.names,
            "made_for": self.compared.made_for | looks | {"synthetic": self._synthetic_made_for()},
            "curves": [cell.path for cell in drawn_cells(self.cells, self.compared)],
            "with_synthetic": synthetic.with_study,
            "claims": self.config.claims,
            "reference": self.config.reference or "",
        }
        return Scope.model_validate(self.compared.model_dump() | own)

    # What looks into cells: file -> specification of each job.

    @cached_property
    def dials(self) -> dict[str, DialSpec]:
        return dial_specs(self)

    @cached_property
    def probes(self) -> dict[str, ProbeSpec]:
        return probe_specs(self)

    @cached_property
    def signs(self) -> dict[str, SignsSpec]:
        return signs_specs(self)

    @property
    def looks(self) -> dict[str, Mapping[str, Any]]:
        """Section -> the specification of each of its jobs, by file."""
        shown = browser_specs(self)
        return {"dial": self.dials, "probe": self.probes, "signs": self.signs, "browser": shown}

    def look_spec(self, file: str) -> Any:
        """Of the job that makes a file; raises CellNameError that lists those there are."""
        known = {name: one for made in self.looks.values() for name, one in made.items()}
        if file not in known:
            there = ", ".join(known) or f"none: see sections {', '.join(self.looks)}"
            raise CellNameError(f"{file}: nothing of this study makes it; it has {there}")
        return known[file]

    # What the files of a study must have been made for, see `pipeline.study.made_for`.

    def asset_made_for(self, model: str) -> dict[str, str]:
        """What a model's record carries; of a folder of the user's own, where it lies, too."""
        source = self.model_named(model).source
        place = {"place": source.path} if source.kind == "path" else {}
        return made_from(self.asset_spec(model)) | place

    def cell_made_for(self, cell: Cell) -> dict[str, str]:
        """What the metrics of a cell carry."""
        specs = {"train": self.train_spec(cell), "evaluate": self.evaluate_spec(cell)}
        return {name: digest(spec) for name, spec in specs.items()}

    def export_spec(self, cell: Cell) -> ExportSpec:
        """Of the job that exports a cell."""
        model = self.model_named(cell.model)
        return ExportSpec(
            cell=cell,
            model=model,
            source=self.sources[model.name],
            start_token=model.start_token,
            context_length=self.config.text.context_length,
            max_norm_ratio=self.config.dump.max_norm_ratio,
            text=self.text,
        )

    def _synthetic_made_for(self) -> dict[str, dict[str, str]]:
        return {
            f"{protocol}_seed{seed}": made_from(self.synthetic_spec(protocol, seed))
            for protocol, seed in product(PROTOCOLS, self.config.synthetic.seeds)
        }

    def synthetic_spec(self, protocol: str, seed: int) -> SyntheticSpec:
        """Of one seed of one synthetic protocol."""
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
        made = self.looks.items()
        specs = [(kind, one.model_dump()) for kind, jobs in made for one in jobs.values()]
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
