"""What training reads of the stores, and how fast a disk must be for devices not to wait for it.

A job reads its stream as often as it has epochs, and a stream is a store's rows of one hookpoint:
2 d bytes per row. Nothing is assumed to stay in memory from one epoch to the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from pipeline.cost.rates import COMPRESSED, Device, step_products
from pipeline.study.cell import Cell
from pipeline.study.streams import put_together
from pipeline.study.study import Study

CHOICES = (1, 2, 4, 8)
"""Values of ``cells_per_stream`` that are compared."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What training reads of one store, or of all."""

    store: str
    """The language model whose store it is."""
    cells: int
    streams: int
    """Jobs that read it."""
    bytes: float
    """All of them together."""
    seconds: float
    """Device-seconds of their training steps."""
    highest: float
    """Bytes per second of the job that needs most."""

    @property
    def mean(self) -> float:
        """Bytes per second of one device, over all jobs."""
        return self.bytes / self.seconds


def readings(study: Study, device: Device, per_stream: int | None = None) -> list[Reading]:
    """By store; ``per_stream`` stands in for the study's ``cells_per_stream``."""
    found: dict[str, list[Reading]] = {}
    most = per_stream or study.config.cells_per_stream
    own = [cell for cell in study.cells if cell not in study.foreign]
    for cells in put_together(study, own, most):
        found.setdefault(cells[0].model, []).append(_of_stream(study, cells, device))
    return [_sum(model, jobs) for model, jobs in found.items()]


def total(found: Iterable[Reading]) -> Reading:
    """Of all stores."""
    return _sum("all", list(found))


def _of_stream(study: Study, cells: list[Cell], device: Device) -> Reading:
    spec = study.train_spec(cells[0])
    shrink = COMPRESSED if study.config.dump.profile == "disk" else 1.0
    size = 2.0 * spec.d_model * spec.training.tokens * shrink
    products = (step_products(cell.variant) * cell.width for cell in cells)
    operations = 2.0 * spec.d_model * sum(products)
    seconds = operations * spec.training.tokens / (device.training_tflops * 1e12)
    return Reading(
        store=cells[0].model,
        cells=len(cells),
        streams=1,
        bytes=size,
        seconds=seconds,
        highest=size / seconds,
    )


def _sum(store: str, parts: list[Reading]) -> Reading:
    return Reading(
        store=store,
        cells=sum(part.cells for part in parts),
        streams=sum(part.streams for part in parts),
        bytes=sum(part.bytes for part in parts),
        seconds=sum(part.seconds for part in parts),
        highest=max(part.highest for part in parts),
    )


def reading_table(study: Study, device: Device, devices: int) -> str:
    """Per store and in all, as the study has it; then for other values of ``cells_per_stream``."""
    own = study.config.cells_per_stream
    found = readings(study, device)
    stores = [(one.store, one.cells, *_words(one, devices)) for one in [*found, total(found)]]
    choices = [
        (count, *_words(total(readings(study, device, count)), devices))
        for count in sorted({*CHOICES, own})
    ]
    columns = ["jobs that read", "read in all", "rate, mean", "rate, at most"]
    tables = [
        pd.DataFrame(rows, columns=[*first, *columns]).to_markdown(
            index=False, disable_numparse=True
        )
        for first, rows in ((["store", "cells"], stores), (["cells_per_stream"], choices))
    ]
    whose = "one device" if devices == 1 else f"{devices} devices"
    return (
        f"What training reads with cells_per_stream {own}, and the rate that the disk needs for "
        f"{whose} not to wait (at most: if all train the cells that need most):\n\n"
        f"{tables[0]}\n\n{tables[1]}"
    )


def _words(one: Reading, devices: int) -> tuple[str, ...]:
    rates = (f"{rate * devices / 1e9:,.1f} GB/s" for rate in (one.mean, one.highest))
    size = f"{one.bytes / 1e12:,.1f} TB" if one.bytes >= 1e12 else f"{one.bytes / 1e9:,.1f} GB"
    return (f"{one.streams:,}", size, *rates)
