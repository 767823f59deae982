"""What a study will cost, before anything runs: device-hours, tokens, disk, and what is read of it.

    python -m pipeline cost --configfile workflow/configs/paper.yaml --device h100

Arithmetic follows from the configuration; rates from workflow/rates.yaml, which says of each
whether it was measured. ``--measured-from results/reference/local`` takes the training rate from
the cells of a published study instead, ``--measure`` from a few steps on this machine. What no job
computes (downloads, waiting for a disk) is not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

import pandas as pd

from pipeline.cost.rates import RATES, Device, Rates, step_products
from pipeline.cost.reading import reading_table
from pipeline.cost.work import Work, Workload
from pipeline.jobs.json_files import read_json
from pipeline.study.metrics import CellMetrics
from pipeline.study.outputs import METRICS
from pipeline.study.streams import put_together
from pipeline.study.study import SPLITS, Study


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


def stages(study: Study, rates: Rates) -> list[Stage]:
    """The study's costs, stage by stage."""
    load, config = Workload(study, rates), study.config
    own = [cell for cell in study.cells if cell not in study.foreign]
    streams = put_together(study, own, config.cells_per_stream)
    on_one = sum(len(cells) for cells in streams if len(cells) > 1)
    stores = list(product(load.models, SPLITS))
    weights = sum(2 * study.models[c.model].d_model * c.width for c in study.cells)
    found = [
        _sum(
            "activations",
            [load.dump(*store) for store in stores],
            disk=sum(load.store_bytes(*store) for store in stores),
        ),
        _sum("baselines", [load.baselines(model) for model in load.models]),
        _sum(
            "training",
            [load.training(cells) for cells in streams],
            training=True,
            disk=4.0 * weights,
        ),
        _sum(
            "evaluation",
            [load.evaluation(cell) for cell in study.cells],
            jobs=on_one,  # otherwise in the job that trains
        ),
    ]
    if study.dials:
        found.append(_sum("dial", [load.dial(one) for one in study.dials.values()]))
    if study.probes:
        found.append(_sum("probe", [load.probe(one) for one in study.probes.values()]))
    return found


def _sum(
    name: str,
    parts: list[Work],
    *,
    jobs: int | None = None,
    training: bool = False,
    disk: float = 0.0,
) -> Stage:
    """The stage that a list of works makes; a job each unless it is said how many."""
    return Stage(
        name=name,
        jobs=len(parts) if jobs is None else jobs,
        tokens=sum(part.tokens for part in parts),
        operations=sum(part.operations for part in parts),
        training=training,
        disk=disk,
    )


def measured(folder: Path) -> tuple[float, str]:
    """Median training rate, TFLOP/s, of the cells of a published study, and on what."""
    found = [
        CellMetrics.model_validate(read_json(path))
        for path in sorted((folder / "cells").rglob(METRICS))
    ]
    if not found:
        raise ValueError(f"{folder}: no metrics under cells/: give the folder of a published study")
    rates = [
        training_tflops(
            cell.training.tokens_per_second, cell.d_model, cell.cell.width, cell.cell.variant
        )
        for cell in found
        if cell.training.steps
    ]
    devices = ", ".join(sorted({cell.training.device for cell in found if cell.training.steps}))
    return median(rates), f"measured: median of {len(found)} cells of {folder} on {devices}"


def training_tflops(rate: float, d: int, width: int, variant: str = "gated") -> float:
    """TFLOP/s of a step's dense products at a rate of tokens per second.

    Raises:
        ValueError: the rate is not positive and finite.
    """
    if not 0 < rate < math.inf:
        raise ValueError(
            f"{rate:g} tokens/s cannot be a rate of training; measure again, or leave it to the "
            "rates of --device"
        )
    return rate * step_products(variant) * 2 * d * width / 1e12


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
    known = Rates.read(rates)
    chosen, basis = known.device(device), known.device(device).basis
    study, rate = Study.load(configfile), None
    if measured_from:
        rate, source = measured(measured_from)
    elif measure:
        from pipeline.cost.speed import tokens_per_second  # imports torch

        found, d, cell, what = tokens_per_second(study)
        rate = training_tflops(found, d, cell.width, cell.variant)
        source = f"measured now: {what}"
    if rate is not None:
        chosen = chosen.model_copy(update={"training_tflops": rate})
        basis = f"training {source}; the rest {basis}"
    print(summary(study, known, chosen, basis, devices))
