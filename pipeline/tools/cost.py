"""What a study will cost, before anything runs: device-hours, tokens, reading and disk.

    python -m pipeline cost --configfile workflow/configs/paper.yaml --device h100 --devices 8

Work follows from the configuration, rates from workflow/rates.yaml, which says of each whether it
was measured. Downloads and waiting in a queue are not in it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.study.outputs import SPLITS
from pipeline.study.study import Study
from pipeline.tools.work import RATES, Device, Rates, Work, Workload


@dataclass(frozen=True)
class Stage:
    """The jobs of one stage, and the bytes that they leave on disk."""

    name: str
    jobs: list[Work]
    disk: float = 0.0

    @property
    def tokens(self) -> float:
        """Tokens that pass through a language model or an autoencoder."""
        return sum(job.tokens for job in self.jobs)

    @property
    def moved(self) -> float:
        """Bytes that pass between stores and jobs."""
        return sum(job.moved for job in self.jobs)

    @property
    def operations(self) -> float:
        return sum(job.forward + job.training for job in self.jobs)

    def hours(self, device: Device) -> float:
        """Device-hours."""
        return sum(job.seconds(device) for job in self.jobs) / 3600


def stages(study: Study, rates: Rates) -> list[Stage]:
    """The stages of a study in which nothing is made yet, in the order in which they run."""
    load = Workload(study, rates)
    models = sorted({cell.model for cell in study.cells})
    own = [cell for cell in study.cells if cell not in study.foreign]
    stores = [(model, split) for model in models for split in SPLITS]
    weights = sum(8.0 * study.models[c.model].d_model * c.width for c in study.cells)
    stored = sum(load.store_bytes(*store) for store in stores)
    found = [
        Stage("activations", [load.dump(*store) for store in stores], stored),
        Stage("baselines", [load.baselines(model) for model in models]),
        Stage("training", [load.training(cell) for cell in own], weights),
        Stage("evaluation", [load.evaluation(cell) for cell in study.cells]),
        Stage("dial", [load.dial(one) for one in study.looks["dial"].values()]),
        Stage("probe", [load.probe(one) for one in study.looks["probe"].values()]),
        Stage("signs", [load.signs(one) for one in study.looks["signs"].values()]),
    ]
    return [stage for stage in found if stage.jobs]


def hours_on(devices: int, jobs: Iterable[float]) -> float:
    """Hours until some devices have done all jobs, of so many seconds each, the longest first."""
    busy = [0.0] * devices
    for seconds in sorted(jobs, reverse=True):
        heapq.heapreplace(busy, busy[0] + seconds)
    return max(busy) / 3600


def summary(study: Study, rates: Rates, device: Device, devices: int) -> str:
    """The estimate in words."""
    found = stages(study, rates)
    rows, lasting, hours = [], 0.0, f"hours on {devices}"
    for stage in found:
        spent = hours_on(devices, [job.seconds(device) for job in stage.jobs])
        lasting += spent
        row = {"stage": stage.name, "jobs": f"{len(stage.jobs):,}"}
        row |= {"tokens": f"{stage.tokens / 1e6:,.1f} M"}
        row |= {"operations": f"{stage.operations / 1e15:,.1f} P"}
        row |= {device.unit: f"{stage.hours(device):,.1f}", hours: f"{spent:,.1f}"}
        row |= {"read and written": f"{stage.moved / 1e9:,.1f} GB"}
        rows.append(row | {"disk": f"{stage.disk / 1e9:,.1f} GB"})
    rows.append({"stage": "total", hours: f"{lasting:,.1f}"})
    rows[-1] |= {device.unit: f"{sum(stage.hours(device) for stage in found):,.1f}"}
    rows[-1] |= {"read and written": f"{sum(stage.moved for stage in found) / 1e9:,.1f} GB"}
    rows[-1] |= {"disk": f"{sum(stage.disk for stage in found) / 1e9:,.1f} GB"}
    table = pd.DataFrame(rows).fillna("").to_markdown(index=False, disable_numparse=True)
    unknown = {model.like or name for name, model in study.models.items()} - rates.models.keys()
    head = f"Study {study.config.study}: {len(study.cells):,} cells"
    text = f"{head}\n\n{table}\n\nRates: {device.basis}."
    if unknown:
        text += f"\nSizes guessed from d_model and the layer: {', '.join(sorted(unknown))}."
    return text


def main(configfile: Path, rates: Path = RATES, device: str = "h100", devices: int = 1) -> None:
    """Print the estimate.

    Args:
        configfile: configuration of the study
        rates: rates of devices, as YAML
        device: a device of the rates
        devices: how many of them work at the same time
    """
    if devices < 1:
        raise ValueError(f"devices {devices}: give at least 1")
    known = Rates.read(rates)
    print(summary(Study.load(configfile), known, known.device(device), devices))
