"""What jobs ask a scheduler for: minutes (``runtime``) and host memory (``mem_mb``).

Both follow from the work of a job at the rates of ``workflow/rates.yaml``, with room to spare, and
grow with every attempt. Each job also takes one of ``turns``: a profile gives one to each
submission, so that the jobs of a group run one after the other and ask for the sum of their times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any

from pipeline.study.cell import PATTERN
from pipeline.study.made_for import is_made_for
from pipeline.study.outputs import SPLITS
from pipeline.study.study import Study
from pipeline.tools.work import Rates, Work, Workload

# A job asks for so many times the seconds that it is estimated to take, and for so many minutes at
# least.
ROOM, LEAST_MINUTES = 2.0, 5
# Times the estimated bytes; again for each attempt after the first.
MEMORY_ROOM, MEMORY_GROWTH = 1.25, 1.5
# Of jobs whose work nobody counts: the protocols on made-up data.
FEW_SECONDS = 300.0


class Requests:
    """The resources of jobs by rule.

    Args:
        study: The study.
        device: The device that jobs run on; empty for the one that the study's run names.

    Raises:
        ValueError: the rates have no such device.
    """

    def __init__(self, study: Study, device: str = ""):
        rates, run = Rates.read(), study.run
        self._study, self._load = study, Workload(study, rates)
        self._device = rates.device(device or ("cpu-core" if run.device == "cpu" else run.rates))
        self._parts = cache(self._parts_of)

    def of(self, rule: str) -> dict[str, Any]:
        """A rule's ``turns``, and the functions ``runtime`` and ``mem_mb`` that Snakemake calls."""

        def runtime(wildcards: Mapping[str, str], attempt: int, threads: int) -> int:
            parts = self._parts(rule, tuple(sorted(wildcards.items())))
            cores = threads if self._device.unit == "core-hours" else 1
            seconds = sum(part.seconds(self._device) for part in parts)
            return max(LEAST_MINUTES, math.ceil(ROOM * seconds / cores / 60)) * attempt

        def mem_mb(wildcards: Mapping[str, str], attempt: int) -> int:
            parts = self._parts(rule, tuple(sorted(wildcards.items())))
            held = max(part.held for part in parts)
            size = self._device.host_mb + MEMORY_ROOM * held / 2**20
            return math.ceil(size * MEMORY_GROWTH ** (attempt - 1) / 100) * 100

        return {"turns": 1, "runtime": runtime, "mem_mb": mem_mb}

    @staticmethod
    def threads(pieces: int, each: int) -> int:
        """Threads of a job, which starts with one: so many pieces of its work keep one busy."""
        return min(max(1, pieces // each), 16)

    def left(self) -> str:
        """What has to be trained and dumped yet, and the time that takes on a CPU, in words."""
        study, load, core = self._study, self._load, Rates.read().device("cpu-core")
        cells = [
            cell
            for cell in study.cells
            if not is_made_for(study.metrics(cell), study.cell_made_for(cell))
        ]
        stores = [
            store
            for store in product(sorted({cell.model for cell in cells}), SPLITS)
            if not is_made_for(study.manifest(*store), {"spec": study.stores[store]})
        ]
        jobs = [load.dump(*store) for store in stores]
        jobs += [load.training(cell) for cell in cells] + [load.evaluation(cell) for cell in cells]
        minutes = sum(job.seconds(core) for job in jobs) / 60
        return (
            f"{len(cells)} cells and {len(stores)} stores are to be made: about {minutes:,.0f} "
            "minutes of one core without a GPU. `python -m pipeline status` says what is left."
        )

    def _parts_of(self, rule: str, wildcards: tuple[tuple[str, str], ...]) -> list[Work]:
        """What a job does, one after the other."""
        study, load, given = self._study, self._load, dict(wildcards)
        match rule:
            case "tokens" | "dump" | "baselines":
                return [getattr(load, rule)(**given)]
            case "cell":
                cell = study.cell_named(PATTERN.format(**given))
                return [load.training(cell), load.evaluation(cell)]
            case "dial_run" | "probe_run" | "signs_run":
                kind = rule.removesuffix("_run")
                return [getattr(load, kind)(study.look_spec(kind, given["look"]))]
            case "browser_run":
                shown = study.look_spec("browser", given["look"]).shown[0]
                return 2 * [load.evaluation(shown)]  # its codes and its rival's
        return [Work(fixed=FEW_SECONDS)]
