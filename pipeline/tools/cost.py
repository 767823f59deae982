"""What a study takes, before anything runs, and what its jobs ask a scheduler for.

    python -m pipeline cost --configfile workflow/configs/paper.yaml --rates h100 --devices 8

Work follows from the configuration by arithmetic. Rates of devices and sizes of language models
are in ``workflow/rates.yaml``, which says of each rate whether it was measured. Downloads and
waiting in a queue are not counted. Jobs that steer, probe, compare signs or fill the latent browser
take at most what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.data.passes import SPLICED
from pipeline.study.cell import PATTERN, Cell
from pipeline.study.checks import missing_here
from pipeline.study.looks import LookSpec
from pipeline.study.outputs import SPLITS
from pipeline.study.study import Study
from pipeline.study.study_config import load_yaml
from sagsae.autoencoders.registry import GATED, VARIANTS

RATES = Path(__file__).resolve().parents[2] / "workflow" / "rates.yaml"
# Products of [B, d] and [d, H], 2 B d H operations each, in a training step: encode, decode, two
# backward through the decoder, one for each gradient; a gate adds its auxiliary decode. In an
# evaluation: encode, decode, and the residual's coefficients for the calibration slopes.
GATED_PRODUCTS, UNGATED_PRODUCTS, EVALUATION_PRODUCTS = 7, 5, 3
# Bytes of a latent while it is trained: per activation (rows, gradients, moments, copies), and per
# token of the batch. BatchTopK takes most, a gate less than half.
WEIGHT_BYTES, ACTIVATION_BYTES = 40.0, 28.0
# Bytes of the code of a row that is probed, 500 entries; seconds of the host for a pair of latents
# of two seeds, where these are assigned.
CODE_BYTES, ASSIGNED_PAIR = 12_000.0, 1.5e-7
# Bytes per second that one job reads or writes, assumed; tokens per second that one core packs,
# measured on the local study.
READ_RATE, PACKED_TOKENS = 2e9, 580_000.0
# A job asks for so many times the seconds that it is estimated to take, for so many minutes at
# least, and for so many times the estimated bytes; again for each attempt after the first.
ROOM, LEAST_MINUTES, MEMORY_ROOM, MEMORY_GROWTH = 2.0, 5, 1.25, 1.5


class Work(NamedTuple):
    """What one job computes, reads, keeps and holds."""

    # Tokens that pass through a language model or an autoencoder.
    tokens: float = 0.0
    # Operations at the rates of forward passes and of training.
    forward: float = 0.0
    training: float = 0.0
    # Bytes that it reads from stores, or writes into them, while it computes.
    moved: float = 0.0
    # Bytes that it leaves on disk.
    disk: float = 0.0
    # Bytes of host memory, beside those of the process.
    held: float = 0.0
    # Seconds of the host, whatever the device.
    fixed: float = 0.0


class Requests:
    """The work of a study's jobs on one device, and what the jobs ask a scheduler for.

    Args:
        study: The study; cells off its grid are known as well.
        rates: A device of ``workflow/rates.yaml``; empty for the one that the study's run names.

    Raises:
        ValueError: There is no such device.
    """

    def __init__(self, study: Study, rates: str = ""):
        known, self.study, dump = load_yaml(RATES), study, study.config.dump
        name = rates or ("cpu-core" if study.run.device == "cpu" else study.run.rates)
        if name not in known["devices"]:
            raise ValueError(f"unknown rates {name!r}; known are {', '.join(known['devices'])}")
        self.device, self._sizes = known["devices"][name], known["models"]
        self._rows = {"train": dump.train_rows, "heldout": dump.heldout_rows}
        self._length = study.config.text.context_length
        self._spliced = study.config.evaluation.lr_contexts * self._length

    def dump(self, model: str, split: str) -> Work:
        """Work of packing a split and of filling its store, which is read once more to seal it."""
        rows, tapped = self._rows[split], self.study.models[model]
        tokens = rows * self._length / (self._length - 1)  # the first of a context gives no row
        store = len(tapped.arrays(self.study.config.hookpoints)) * rows * self._row(model, split)
        blocks = 7 * self.study.config.dump.rows_per_block  # seven threads beside a GPU
        held = self._passes(model) + min(1.0, blocks / rows) * store + 16 * tokens
        fixed = store / READ_RATE + tokens / PACKED_TOKENS
        forward = self._forward(model, tapped.depths[-1] + 1)
        return Work(tokens, forward * tokens, moved=store, disk=store, held=held, fixed=fixed)

    def baselines(self, model: str) -> Work:
        """Work of a model's own losses, and of those with zero and mean at each hookpoint."""
        hookpoints = self.study.config.hookpoints
        replaced = self.study.models[model].arrays(hookpoints, predicted=True)
        tokens = (1 + 2 * len(replaced)) * self._spliced
        return Work(tokens, self._forward(model) * tokens, held=self._passes(model))

    def cell(self, cell: Cell) -> Work:
        """Work of a training, which foreign cells lack, and of an evaluation."""
        rows, encoded = self._rows["heldout"], self._product(cell)
        read, row = self._row(cell.model, "train"), self._row(cell.model)
        trained = 0 if cell in self.study.foreign else self.study.training(cell).tokens
        gated = trained and VARIANTS[cell.variant].family == GATED
        training = (GATED_PRODUCTS if gated else UNGATED_PRODUCTS) * encoded * trained
        forward = EVALUATION_PRODUCTS * encoded * rows + self._forward(cell.model) * self._spliced
        step = ACTIVATION_BYTES * self.study.training(cell).batch_size * cell.width
        held = self._passes(cell.model) + WEIGHT_BYTES / 2 * encoded + step
        held += 48 * self.study.config.dump.rows_per_chunk * row
        tokens, moved = trained + rows + self._spliced, trained * read + rows * row
        return Work(tokens, forward, training, moved=moved, disk=4 * encoded, held=held)

    def look(self, spec: LookSpec) -> Work:
        """Work of a job that looks into cells: each encodes all held-out rows, and where the job
        compares many, they are assigned to those of other seeds. Steering passes whole models."""
        cells, rows, row = spec.weights_of, self._rows["heldout"], self._row(spec.model)
        steered, widest = 0, max(cell.width for cell in cells)
        if plan := getattr(spec, "dial", None):
            directions = plan.latents + plan.pairs + plan.random
            steered = directions * 2 * plan.contexts * len(plan.alphas) * self._length
        forward = EVALUATION_PRODUCTS * sum(map(self._product, cells)) * rows
        forward += self._forward(spec.model) * steered
        held = self._passes(spec.model) + rows * (CODE_BYTES + 2 * row) + 16 * widest**2
        held += WEIGHT_BYTES * self.study.models[spec.model].d_model * widest
        assigned = sum(cell.width**2 for cell in getattr(spec, "cells", []))
        fixed, tokens = 5 * len(cells) + ASSIGNED_PAIR * assigned, steered + len(cells) * rows
        return Work(tokens, forward, moved=rows * row, held=held, fixed=fixed)

    def job(self, rule: str, wildcards: Mapping[str, str]) -> Work:
        """Work of a job of a rule."""
        match rule:
            case "tokens" | "dump":
                return self.dump(**wildcards)
            case "baselines":
                return self.baselines(**wildcards)
            case "cell":
                return self.cell(self.study.cell_named(PATTERN.format(**wildcards)))
            case "synthetic_run":
                return Work(fixed=300.0)
        return self.look(self.study.look_spec(rule.removesuffix("_run"), wildcards["look"]))

    def seconds(self, work: Work) -> float:
        """Seconds that a job takes of the device, its start included."""
        computed = work.forward / self.device["forward_tflops"]
        computed += work.training / self.device["training_tflops"]
        started = self.device["job_seconds"] + work.fixed
        return float(started + max(computed / 1e12, work.moved / READ_RATE))

    def of(self, rule: str) -> dict[str, Any]:
        """The ``turns`` of a rule's jobs, and the functions ``runtime`` (minutes) and ``mem_mb``
        that Snakemake calls. A profile gives one turn to each submission, so that the jobs of a
        group run one after the other and ask for the sum of their times."""

        def runtime(wildcards: Mapping[str, str], attempt: int, threads: int) -> int:
            cores = threads if self.device["unit"] == "core-hours" else 1
            minutes = ROOM * self.seconds(self.job(rule, wildcards)) / cores / 60
            return max(LEAST_MINUTES, math.ceil(minutes)) * attempt

        def mem_mb(wildcards: Mapping[str, str], attempt: int) -> int:
            held = MEMORY_ROOM * self.job(rule, wildcards).held / 2**20
            size = (self.device["host_mb"] + held) * MEMORY_GROWTH ** (attempt - 1)
            return math.ceil(size / 100) * 100

        return {"turns": 1, "runtime": runtime, "mem_mb": mem_mb}

    @staticmethod
    def threads(pieces: int, each: int) -> int:
        """Threads of a job, which starts with one: so many pieces of its work keep one busy."""
        return min(max(1, pieces // each), 16)

    def table(self, devices: int) -> pd.DataFrame:
        """A row for each stage of a study in which nothing is made yet, if devices share it."""
        study, rows = self.study, {}
        models = {cell.model for cell in study.cells}
        stages = {"activations": [self.dump(*store) for store in product(models, SPLITS)]}
        stages |= {"baselines": list(map(self.baselines, models & {*study.language_models}))}
        stages |= {"cells": list(map(self.cell, study.cells))}
        stages |= {
            name: list(map(self.look, specs.values())) for name, specs in study.looks.items()
        }
        for name, jobs in stages.items():
            work, hours = (
                Work(*map(sum, zip(*jobs, strict=True))),
                [self.seconds(job) / 3600 for job in jobs],
            )
            rows[name] = {
                "jobs": len(jobs),
                "M tokens": work.tokens / 1e6,
                "P operations": (work.forward + work.training) / 1e15,
                self.device["unit"]: sum(hours),
                f"hours on {devices}": max([sum(hours) / devices, *hours]),
                "GB read and written": work.moved / 1e9,
                "GB on disk": work.disk / 1e9,
            }
        table = pd.DataFrame(rows).T.query("jobs > 0")
        return pd.concat([table, table.sum().rename("total").to_frame().T])

    def _row(self, model: str, split: str = "heldout") -> float:
        """Bytes of one row of a store at one hookpoint; of int8 one a value, and the scale."""
        width = self.study.models[model].d_model
        int8 = split == "train" and self.study.config.dump.dtype == "int8"
        return width + 2.0 if int8 else 2.0 * width

    def _product(self, cell: Cell) -> float:
        """Operations of one matrix product, per token."""
        return 2.0 * self.study.models[cell.model].d_model * cell.width

    def _size(self, model: str) -> tuple[int, int, int]:
        """Blocks, matrix parameters of a block, and those of the head; a guess where unknown."""
        shape = self.study.models[model]
        guess = [2 * shape.depths[-1] or 1, 12 * shape.d_model**2, 50_000 * shape.d_model]
        blocks, block, head = self._sizes.get(shape.like or model, guess)
        return blocks, block, head

    def _passes(self, model: str) -> float:
        """Bytes of a language model and of the logits of a batch of contexts."""
        if self.study.models[model].drawn:
            return 0.0
        (blocks, block, head), shape = self._size(model), self.study.models[model]
        weights = (2 if shape.dtype == "bfloat16" else 4) * (blocks * block + head)
        return weights + SPLICED["cuda"] * self._length * head / shape.d_model * 6.0

    def _forward(self, model: str, blocks: int | None = None) -> float:
        """Operations per token of some blocks, attention over half a context on average, or of the
        whole model."""
        if self.study.models[model].drawn:
            return 0.0
        known, block, head = self._size(model)
        each = 2.0 * block + 2 * self._length * self.study.models[model].d_model
        return blocks * each if blocks else known * each + 2 * head


def main(
    configfile: Path, rates: str = "h100", devices: int = 1, config: Sequence[str] = ()
) -> None:
    """Print the estimate.

    Args:
        configfile: configuration of the study
        rates: a device of workflow/rates.yaml
        devices: how many of them work at the same time
        config: KEY=VALUE, as Snakemake's --config
    """
    if devices < 1:
        raise ValueError(f"devices {devices}: give at least 1")
    study = Study.load(configfile, config)
    costs = Requests(study, rates)
    print(f"Study {study.config.study}: {len(study.cells):,} cells\n")
    print(costs.table(devices).to_markdown(floatfmt=("", ",.0f", *[",.2f"] * 6)))
    print(f"\nHours are those of {rates} (--rates names another). Rates: {costs.device['basis']}.")
    if missing := missing_here(study.config):
        print("\nA run would stop here:", *missing, sep="\n  ")
