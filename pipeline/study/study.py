"""A study: a validated configuration, its grid of cells, the specifications of its stages.

A stage receives its specification, see ``pipeline.study.config.specs``. Snakemake compares
specifications to decide what to run again, so nothing else may reach a stage. One that grows with
the grid reaches it through a file that is named after its digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.jobs.json_files import digest, write_json
from pipeline.study.blocks import cells_of
from pipeline.study.cell import Cell, by_sweep
from pipeline.study.config import study_config as c
from pipeline.study.config.recipes import Training
from pipeline.study.config.sources import AnyText, MixedText
from pipeline.study.config.specs import (
    AssetSpec,
    BaselineSpec,
    DumpSpec,
    Split,
    TextSpec,
    TokenSpec,
)
from pipeline.study.config.spelling import CellNameError
from pipeline.study.config.synthetic import Synthetic
from pipeline.study.foreign import foreign_cells, source_of
from pipeline.study.grid import absent_files, cross_faults
from pipeline.study.known_cells import check_known
from pipeline.study.local_files import model_files, text_files, without_terms
from pipeline.study.looks import Looks
from pipeline.study.outputs import DIAL_RUNS, PROBE_RUNS
from pipeline.study.recipes import levels_of, training_of
from pipeline.study.run_settings import RunSettings, run_part
from pipeline.study.scope import Scope
from pipeline.study.specs import EvaluateSpec, SyntheticSpec, TrainSpec

SPLITS: tuple[Split, ...] = ("train", "heldout")


class Study(Looks):
    """One study. Build with ``Study.load`` or ``Study.from_dict``; both raise ConfigError."""

    def __init__(self, config: c.StudyConfig, run: RunSettings):
        self.config, self.run = config, run
        self.models = {model.name: model for model in config.models}
        self._trainings: dict[tuple[str, str], Training] = {}
        super().__init__(PurePosixPath(run.results) / config.study)
        self.foreign = foreign_cells(config)
        self.cells = sorted({cell for entry in config.grid for cell in cells_of(entry, config)})

    @classmethod
    def from_dict(cls, raw: Any, where: str = "configuration", *, plan: bool = False) -> Study:
        """Validate a parsed configuration; every fault is reported at once.

        Args:
            raw: The content of a configuration file.
            where: What messages call it.
            plan: Whether the study is to run here, so that local text and models must be there.
        """
        raw, run, faults_of_run = run_part(raw)
        config, sound, faults = c.sound_part(raw)
        faults += faults_of_run + cross_faults(raw, config, sound)
        if plan:
            faults += absent_files(config, sound)
        if faults:
            lines = "\n".join(f"  {fault}" for fault in faults)
            raise c.ConfigError(f"{where}: {len(faults)} error(s)\n{lines}")
        return cls(config, run)

    @classmethod
    def load(cls, path: str | Path = c.DEFAULT_CONFIG) -> Study:
        """Read and validate a YAML file."""
        return cls.from_dict(c.load_yaml(Path(path)), str(path))

    def training(self, cell: Cell) -> Training:
        """The settings by which a cell is trained."""
        key = cell.recipe, cell.variant
        if key not in self._trainings:
            self._trainings[key] = training_of(self.config, *key)
        return self._trainings[key]

    def model_named(self, name: str) -> c.Model:
        """A model of the study; raises CellNameError that lists those there are."""
        if name not in self.models:
            raise CellNameError(f"unknown model {name!r}; this study has {', '.join(self.models)}")
        return self.models[name]

    @cached_property
    def _stores(self) -> dict[tuple[str, Split], str]:
        """Digest of each store's spec, worked out once for all cells."""
        pairs = product(self.models, SPLITS)
        return {(model, split): digest(self.dump_spec(model, split)) for model, split in pairs}

    @cached_property
    def _baselines(self) -> dict[str, str]:
        """Digest of each model's baselines' spec."""
        return {model: digest(self.baseline_spec(model)) for model in self.models}

    # What a stage depends on. A field takes of a larger section what its own type has.

    def asset_spec(self, model: str) -> AssetSpec:
        source = self.model_named(model).source
        return AssetSpec(model=without_terms(source), files=model_files(source))

    @property
    def text(self) -> AnyText:
        """The text, as the configuration has it."""
        text = self.config.text
        return text.source or MixedText(sources=text.sources, seed=text.seed)

    def text_spec(self) -> TextSpec:
        sources = c.text_sources(self.config.text).values()
        return TextSpec(text=without_terms(self.text), files=text_files(sources))

    def token_spec(self, model: str, split: Split) -> TokenSpec:
        dump = self.config.dump
        return TokenSpec(
            asset=digest(self.asset_spec(model)),
            documents=digest(self.text_spec()),
            start_token=self.model_named(model).start_token,
            split=split,
            rows=getattr(self.config.dump, f"{split}_rows"),
            rows_per_block=dump.rows_per_block,
            slack=dump.slack,
            **self.config.text.model_dump(exclude={"source", "sources"}),
        )

    def dump_spec(self, model: str, split: Split) -> DumpSpec:
        text = self.config.text
        return DumpSpec(
            model=self.model_named(model),
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
            stores=[self._stores[model, split] for split in SPLITS],
            lr_contexts=evaluation.lr_contexts,
            hookpoints=sorted(self.config.hookpoints),
            model=self.model_named(model),
        )

    def train_spec(self, cell: Cell) -> TrainSpec:
        return TrainSpec(
            cell=cell,
            d_model=self.model_named(cell.model).d_model,
            store=self._stores[cell.model, "train"],
            training=self.training(cell),
            source=source_of(self.foreign, cell),
        )

    def evaluate_spec(self, cell: Cell) -> EvaluateSpec:
        baselines = self._baselines[cell.model]
        return EvaluateSpec(baselines=baselines, evaluation=self.config.evaluation)

    @cached_property
    def compared(self) -> Scope:
        """What is compared, and under which recipes; with ``scope`` all that analysis knows."""
        recipes = {name: recipe.model_dump() for name, recipe in self.config.recipes.items()}
        named = {"recipes": recipes, "levels": levels_of(self.config)} if recipes else {}
        values = {
            "cells": [cell.path for cell in self.cells],
            "comparisons": [item.model_dump() for item in self.config.comparisons],
            # By name, as in its file: tables follow this order.
            "models": {name: model.d_model for name, model in sorted(self.models.items())},
            "hookpoints": self.config.hookpoints,
            **named,
        }
        return Scope.model_validate(values)

    @cached_property
    def scope(self) -> Scope:
        """What tables, figures, claims and report must know of the study."""
        synthetic = self.config.synthetic
        own = {
            "study": self.config.study,
            "note": self.config.note,
            "sources": self.sources if len(self.sources) > 1 else [],
            "dial": self.names_below(DIAL_RUNS, self.dials),
            "probe": self.names_below(PROBE_RUNS, self.probes),
            "curves": [cell.path for cell in self._drawn()],
            "synthetic": synthetic.model_dump(include={"with_study", "seeds"}),
            "reference": self.config.reference or "",
        }
        return Scope.model_validate(self.compared.model_dump() | own)

    def _drawn(self) -> Iterator[Cell]:
        """Of each sweep of the main comparison, or of the grid where nothing is compared, the
        lowest seed of each lambda or k. Cells of other libraries have no training curve."""
        for cells in by_sweep(self.cells).values():
            first: dict[float, Cell] = {}
            for cell in sorted(cells, key=lambda cell: cell.seed):
                own = self.compared.in_main(cell.model, cell.variant, cell.width)
                if own and cell not in self.foreign:
                    first.setdefault(cell.knob, cell)
            yield from first.values()

    def losses(self) -> dict[str, str]:
        return self._baselines

    def heldout_stores(self) -> dict[str, str]:
        return {model: self._stores[model, "heldout"] for model in self.models}

    def synthetic_spec(self, protocol: str, seed: int) -> SyntheticSpec:
        """Of one seed of one synthetic protocol."""
        needed = {protocol, "evaluation_rows", "batch_size"}
        part = Synthetic.model_validate(self.config.synthetic.model_dump(include=needed))
        return SyntheticSpec(protocol=protocol, seed=seed, synthetic=part)

    @cached_property
    def shared_specs(self) -> dict[str, str]:
        """Name -> file of each spec that covers the whole grid, too long for a command line.
        The file's name has the digest of the spec: a command changes with the content."""
        return {name: self.shared_spec(name, digest(spec)) for name, spec in self._shared().items()}

    @property
    def configuration(self) -> dict[str, Any]:
        """What `from_dict` makes this study of again, with all defaults."""
        return self.config.model_dump() | self.run.places

    def _shared(self) -> dict[str, dict[str, Any]]:
        return {
            "scope": self.scope.model_dump(),
            "configuration": self.configuration,
        }

    def write_shared_specs(self, folder: Path = Path()) -> None:
        """Write the files of ``shared_specs``, whose paths are relative to ``folder``, and those of
        the jobs that look into cells."""
        for name, spec in self._shared().items():
            write_json(folder / self.shared_specs[name], spec)
        for kind, specs in (("dial", self.dials), ("probe", self.probes)):
            for one in specs.values():
                write_json(folder / self.shared_spec(kind, digest(one)), one.model_dump())

    @property
    def cache(self) -> str:
        """The folder of what studies share, see ``pipeline.jobs.cache``."""
        beside = PurePosixPath(self.run.results).parent / "cache"
        return self.run.cache or str(beside)

    def manifest_and_digest(self, model: str, split: Split) -> tuple[str, str]:
        """A store's manifest and the digest that it must carry."""
        return self.manifest(model, split), self._stores[model, split]

    def baselines_and_digest(self, model: str) -> tuple[str, str]:
        """A model's baselines and the digest that they must carry."""
        return self.baselines(model), self._baselines[model]

    @property
    def sources(self) -> list[str]:
        """Names of the sources of text; none where there is one that has no name."""
        return [part.name for part in self.config.text.sources]

    def cell_named(self, **text: str) -> Cell:
        """The cell of a path's wildcards, on the grid or off it.

        Raises:
            CellNameError: not canonical, or not of this study, see `check_known`.
        """
        cell = Cell.parse(**text)
        check_known(cell, self.config)
        return cell
