"""What jobs ask a scheduler for: minutes (``runtime``) and host memory (``mem_mb``).

Both numbers follow from the work of a job at the rates of ``workflow/rates.yaml``, with room to
spare, and grow with every attempt: a job that ran out of time or memory gets more when it is tried
again. Each job also takes one of ``turns``: a profile gives one to each submission, so that the
jobs of a group run one after the other and ask for the sum of their times. A local run asks for
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.cost.rates import Device, Rates
from pipeline.cost.work import Work, Workload
from pipeline.study.browsed import browsed_at
from pipeline.study.cell import Cell
from pipeline.study.study import Study

ROOM = 2.0
"""A job asks for so many times the seconds that it is estimated to take."""
LEAST_MINUTES = 5
MEMORY_ROOM, MEMORY_GROWTH = 1.25, 1.5
"""Times the estimated bytes; again for each attempt after the first."""
WRITERS = {False: 1, True: 6}
"""Blocks that are written at a time, on a CPU and beside a GPU (``GPU_WRITERS``)."""
FEW_SECONDS = 300.0
"""Of jobs whose work nobody counts: the protocols on made-up data."""
FIT_SECONDS = 5.0
"""Of the fits on one code, and of those on activations, which no device does."""
ENTRY_BYTES, MOST_ENTRIES = 24.0, 500
"""Of an entry of a code while it is probed; entries of a row."""

TURNS = "turns"
"""A resource of which each job takes one."""


@dataclass(frozen=True)
class Need:
    """What a job is estimated to take."""

    seconds: float
    """Of one device; of the host for work that no device does."""
    memory: float
    """Bytes on the host beside those of the process."""


class Requests:
    """The resources of jobs by rule.

    Args:
        study: The study.
        shared: Cells of the job that trains a stream of this digest.
        waits: Whether a cell's weights are trained by such a job.
        rates: Of devices.
        device: The device that jobs run on, one of the rates.
    """

    def __init__(
        self,
        study: Study,
        shared: Callable[[str], Sequence[Cell]],
        waits: Callable[[Cell], bool],
        rates: Rates,
        device: str,
    ):
        self._study, self._shared, self._waits = study, shared, waits
        self._load, self._rates = Workload(study, rates), rates
        self._device: Device = rates.device(device)
        self._need = cache(self._need_of)

    def of(self, rule: str) -> dict[str, Any]:
        """A rule's ``turns``, and the functions ``runtime`` and ``mem_mb`` that Snakemake calls."""

        def runtime(wildcards: Mapping[str, str], attempt: int, threads: int) -> int:
            found = self._need(rule, tuple(sorted(wildcards.items())))
            return minutes(found.seconds, threads if self._device.is_core else 1) * attempt

        def mem_mb(wildcards: Mapping[str, str], attempt: int) -> int:
            found = self._need(rule, tuple(sorted(wildcards.items())))
            size = self._device.host_mb + MEMORY_ROOM * found.memory / 2**20
            return math.ceil(size * MEMORY_GROWTH ** (attempt - 1) / 100) * 100

        return {TURNS: 1, "runtime": runtime, "mem_mb": mem_mb}

    def _need_of(self, rule: str, wildcards: tuple[tuple[str, str], ...]) -> Need:
        found: Need = getattr(self, f"_{rule}")(**dict(wildcards))
        return found

    # A method for each rule, which takes its wildcards.

    def _tokens(self, model: str, split: str) -> Need:
        work = self._load.tokens(model, split)
        seconds = work.tokens / self._rates.cluster.tokens_per_second
        return Need(self._started(seconds), 16.0 * work.tokens)

    def _dump(self, model: str, split: str) -> Need:
        work, dump = self._load.dump(model, split), self._study.config.dump
        sealing = work.moved / self._job_rate
        block = self._load.store_bytes(model, split) / getattr(dump, f"{split}_rows")
        blocks = (WRITERS[not self._device.is_core] + 1) * block * dump.rows_per_block
        memory = self._load.model_bytes(model) + blocks
        return Need(self._started(self._at_once(work) + sealing), memory)

    def _baselines(self, model: str) -> Need:
        contexts = self._study.config.evaluation.batch_contexts
        work = self._load.baselines(model)
        return Need(self._started(self._at_once(work)), self._passes(model, contexts))

    def _train_together(self, stream: str, **_: str) -> Need:
        return self._trained(self._shared(stream))

    def _cell(self, **wildcards: str) -> Need:
        cell = self._study.cell_named(**wildcards)
        contexts = self._study.config.evaluation.batch_contexts
        seconds = self._started(self._at_once(self._load.evaluation(cell)))
        memory = self._passes(cell.model, contexts) + self._load.autoencoder_bytes(cell)
        if self._waits(cell):
            return Need(seconds, memory)
        trained = self._trained([cell])
        return Need(seconds + trained.seconds, max(memory, trained.memory))

    def _dial_run(self, model: str, place: str, seed: str, of: str) -> Need:
        spec = self._study.dial_spec(self._study.dial_run(model, place, seed, of))
        work = self._load.dial(spec)
        seconds = self._started(self._at_once(work))
        contexts = -(-spec.dial.batch_contexts // 2)  # logits of some positions alone
        return Need(seconds, self._passes(spec.model, contexts))

    def _probe_run(self, model: str, place: str, seed: str) -> Need:
        spec = self._study.probe_spec(self._study.probe_run(model, place, seed))
        work = self._load.probe(spec)
        seconds = self._started(max(work.seconds(self._device), work.moved / self._job_rate))
        seconds += FIT_SECONDS * (1 + len(spec.cells))
        gates = max(self._load.autoencoder_bytes(cell) for cell in spec.cells)
        rows = work.tokens / len(spec.cells)
        codes = rows * ENTRY_BYTES * MOST_ENTRIES
        return Need(seconds, 2 * rows * self._load.row_bytes(model) + codes + gates)

    def _browser_cell(self, shown: str) -> Need:
        spec = browsed_at(self._study, shown)
        work = self._load.browser(spec.shown[0])
        gates = self._load.autoencoder_bytes(spec.shown[0])
        return Need(self._started(self._at_once(work)), self._passes(spec.model, 1) + gates)

    def _synthetic_run(self, **_: str) -> Need:
        return Need(self._started(FEW_SECONDS), 0.0)

    # What they have in common.

    def _trained(self, cells: Sequence[Cell]) -> Need:
        """Training on one stream; beside a GPU the host holds what is written of one cell."""
        gates = [self._load.autoencoder_bytes(cell) for cell in cells]
        memory = sum(gates) if self._device.is_core else 2 * max(gates)
        training, layout = self._study.training(cells[0]), self._study.config.dump
        rows = training.group_chunks * layout.rows_per_chunk
        buffers = 3 * rows * self._load.row_bytes(cells[0].model)
        return Need(self._started(self._at_once(self._load.training(cells))), memory + buffers)

    def _passes(self, model: str, contexts: int) -> float:
        """Passes of a language model; its logits lie with the device."""
        logits = self._load.logit_bytes(model, contexts) if self._device.is_core else 0.0
        return self._load.model_bytes(model) + logits

    def _at_once(self, work: Work) -> float:
        """Seconds of work that computes while it reads or writes."""
        return max(work.seconds(self._device), work.moved / self._job_rate)

    def _started(self, seconds: float) -> float:
        return self._device.job_seconds + seconds

    @property
    def _job_rate(self) -> float:
        """Bytes a second that one job moves."""
        return self._rates.cluster.job_gb_per_second * 1e9


def minutes(seconds: float, cores: int = 1) -> int:
    """What a job asks for at its first attempt that is estimated to take so long on one core."""
    return max(LEAST_MINUTES, math.ceil(ROOM * seconds / cores / 60))
