"""What a study will cost, before anything runs: device-hours, tokens, disk, and what is read of it.

    python -m pipeline cost --configfile workflow/configs/paper.yaml --device h100

Arithmetic follows from the configuration; rates from workflow/rates.yaml, which says of each
whether it was measured. ``--measured-from results/reference/local`` takes the training rate from
the cells of a published study instead, ``--measure`` from a few steps on this machine. What no job
computes (downloads, waiting for a disk) is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from statistics import median

import pandas as pd

from pipeline.config.study_config import Model, load_yaml
from pipeline.cost.rates import COMPRESSED, RATES, STEP_PRODUCTS, Architecture, Device, Rates
from pipeline.cost.reading import reading_table
from pipeline.jobs.json_files import read_json
from pipeline.study.metrics import CellMetrics
from pipeline.study.outputs import METRICS
from pipeline.study.streams import put_together
from pipeline.study.study import SPLITS, Study

EVALUATION_PRODUCTS = 3
"""Encode, decode, and the residual's coefficients for the calibration slopes."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one stage costs over the whole study."""

    name: str
    jobs: int
    tokens: float
    """Tokens that pass through a language model or an autoencoder."""
    operations: float
    training: bool = False
    """At the rate of training, not of forward passes."""
    disk: float = 0.0
    """Bytes that stay."""

    def hours(self, device: Device) -> float:
        """Device-hours."""
        rate = device.training_tflops if self.training else device.forward_tflops
        return (self.operations / (rate * 1e12) + self.jobs * device.job_seconds) / 3600


def architecture(model: Model, rates: Rates) -> Architecture:
    """Size of a model of the study; a guess from d_model and the layer where it is not known."""
    known = rates.models.get(model.name)
    return known or Architecture(
        blocks=2 * model.layer or 1,
        block_parameters=12 * model.d_model**2,
        head_parameters=50_000 * model.d_model,
    )


def stages(study: Study, rates: Rates) -> list[Stage]:
    """The study's costs, stage by stage."""
    config, hookpoints = study.config, len(study.config.hookpoints)
    length = config.text.context_length
    used = {cell.model for cell in study.cells}
    models = {name: model for name, model in study.models.items() if name in used}
    sizes = {name: architecture(model, rates) for name, model in models.items()}
    kept = (length - 1) / length  # the first position of a context is dropped
    rows = config.dump.train_rows + config.dump.heldout_rows
    spliced = config.evaluation.lr_contexts * length

    def forward(name: str, blocks: int, head: float = 0.0) -> float:
        """Operations a token, attention over half a context on average included.

        ``head``: the share of the tokens that pass through it.
        """
        model, size = models[name], sizes[name]
        block = 2 * size.block_parameters + 2 * length * model.d_model
        return blocks * block + head * 2 * size.head_parameters

    dumped = {name: forward(name, model.layer + 1) for name, model in models.items()}
    whole = {name: forward(name, sizes[name].blocks, head=1) for name in models}
    shrink = COMPRESSED if config.dump.profile == "disk" else 1.0
    passes = 1 + 2 * hookpoints  # clean; zero and mean at each hookpoint
    parameters = sum(2 * models[c.model].d_model * c.width for c in study.cells)
    own = [cell for cell in study.cells if cell not in study.foreign]
    streams = put_together(study, own, config.cells_per_stream)
    on_one = sum(len(cells) for cells in streams if len(cells) > 1)
    products = [2.0 * models[cell.model].d_model * cell.width for cell in study.cells]
    trained = [0 if c in study.foreign else study.training(c).tokens for c in study.cells]
    return [
        Stage(
            name="activations",
            jobs=len(models) * len(SPLITS),
            tokens=len(models) * rows / kept,
            operations=sum(dumped.values()) * rows / kept,
            disk=sum(2.0 * hookpoints * m.d_model * rows * shrink for m in models.values()),
        ),
        Stage(
            name="baselines",
            jobs=len(models),
            tokens=len(models) * passes * spliced,
            operations=sum(whole.values()) * passes * spliced,
        ),
        Stage(
            name="training",
            jobs=len(streams),
            tokens=sum(trained),
            operations=STEP_PRODUCTS * sum(map(mul, products, trained)),
            training=True,
            disk=4.0 * parameters,
        ),
        Stage(
            name="evaluation",
            jobs=on_one,  # otherwise in the job that trains
            tokens=len(study.cells) * (config.dump.heldout_rows + spliced),
            operations=sum(products) * EVALUATION_PRODUCTS * config.dump.heldout_rows
            + sum(whole[cell.model] for cell in study.cells) * spliced,
        ),
        *steering(study, forward, sizes),
    ]


def steering(
    study: Study, forward: Callable[..., float], sizes: Mapping[str, Architecture]
) -> list[Stage]:
    """The dial, where the study asks for it.

    Each direction is tried in both senses: half of the contexts at the largest size alone, the
    others at every size, from the tapped block on. Predictions are read at some positions.
    """
    tokens = operations = 0.0
    length = study.config.text.context_length
    for one in study.dials.values():
        plan, layer = one.dial, study.models[one.model].layer
        half = plan.contexts // 2
        tries = 2 * (half + len(plan.alphas) * (plan.contexts - half))
        steered = (plan.latents + plan.pairs + plan.random) * tries * length
        read = min(1.0, plan.positions / length)
        tokens += steered
        operations += steered * forward(one.model, sizes[one.model].blocks - layer, read)
    if not study.dials:
        return []
    return [Stage(name="dial", jobs=len(study.dials), tokens=tokens, operations=operations)]


def measured(folder: Path) -> tuple[float, str]:
    """Median training rate, TFLOP/s, of the cells of a published study, and on what."""
    found = [
        CellMetrics.model_validate(read_json(path))
        for path in sorted((folder / "cells").rglob(METRICS))
    ]
    if not found:
        raise ValueError(f"{folder}: no metrics under cells/: give the folder of a published study")
    rates = [
        training_tflops(cell.training.tokens_per_second, cell.d_model, cell.cell.width)
        for cell in found
        if cell.training.steps
    ]
    devices = ", ".join(sorted({cell.training.device for cell in found if cell.training.steps}))
    return median(rates), f"measured: median of {len(found)} cells of {folder} on {devices}"


def training_tflops(rate: float, d: int, width: int) -> float:
    """TFLOP/s of a step's products at a rate of tokens per second.

    Raises:
        ValueError: the rate is not positive and finite.
    """
    if not 0 < rate < math.inf:
        raise ValueError(
            f"{rate:g} tokens/s cannot be a rate of training; measure again, or leave it to the "
            "rates of --device"
        )
    return rate * STEP_PRODUCTS * 2 * d * width / 1e12


def summary(study: Study, rates: Rates, device: Device, basis: str, devices: int) -> str:
    """The estimate in words."""
    found = stages(study, rates)
    rows = [
        (
            stage.name,
            stage.jobs or "",
            f"{stage.tokens / 1e6:,.1f} M",
            f"{stage.operations / 1e15:,.1f} P",
            f"{stage.hours(device):,.1f}",
            f"{stage.disk / 1e9:,.1f} GB" if stage.disk else "",
        )
        for stage in found
    ]
    hours, disk = sum(s.hours(device) for s in found), sum(s.disk for s in found)
    rows.append(
        ("total", sum(s.jobs for s in found), "", "", f"{hours:,.1f}", f"{disk / 1e9:,.1f} GB")
    )
    columns = ["stage", "jobs", "tokens", "operations", device.unit, "disk"]
    table = pd.DataFrame(rows, columns=columns).to_markdown(index=False, disable_numparse=True)
    unknown = [name for name in study.models if name not in rates.models]
    guess = f"\nSizes guessed from d_model and the layer: {', '.join(unknown)}." if unknown else ""
    head = f"Study {study.config.study}: {len(study.cells):,} cells"
    read = reading_table(study, device, devices)
    return f"{head}\n\n{table}\n\nRates: {basis}.{guess}\n\n{read}"


def main(
    configfile: Path,
    rates: Path = RATES,
    device: str = "h100",
    devices: int = 1,
    measure: bool = False,
    measured_from: Path | None = None,
) -> None:
    """Run the stage.

    Args:
        configfile: configuration of the study
        rates: rates of devices, as YAML
        device: a device of the rates
        devices: how many of them train at the same time (default: 1)
        measure: time a few steps on this machine
        measured_from: published study of the same device
    """
    if devices < 1:
        raise ValueError(f"devices {devices}: give at least 1")
    known = Rates.model_validate(load_yaml(rates))
    if device not in known.devices:
        raise ValueError(f"unknown device {device!r}; known are {', '.join(known.devices)}")
    chosen, basis = known.devices[device], known.devices[device].basis
    study, rate = Study.load(configfile), None
    if measured_from:
        rate, source = measured(measured_from)
    elif measure:
        from pipeline.cost.speed import tokens_per_second  # imports torch

        found, d, width, what = tokens_per_second(study)
        rate, source = training_tflops(found, d, width), f"measured now: {what}"
    if rate is not None:
        chosen = chosen.model_copy(update={"training_tflops": rate})
        basis = f"training {source}; the rest {basis}"
    print(summary(study, known, chosen, basis, devices))
