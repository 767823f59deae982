"""How many jobs fill an activation store together: one per GPU that Snakemake was given.

The jobs (*ranks*) share the blocks of the store, so it is the same however many there are. Their
number follows from ``--resources gpu=N`` alone and is no part of a study: a store that is finished
keeps the inputs that its manifest was made with, as Snakemake runs a job again when its inputs are
others than before.

On CPUs there is one rank per core for a dump of half a minute: ``python -m benchmarks.ranks``
shows that processes of one thread are faster than one with a thread per core. Each of them starts
Python and holds a model, so a short dump is left to one job of one thread, beside which others run,
and one of a large model to one job. Where a scheduler runs the jobs, a store is filled by one: it
is part of a submission.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from glob import escape, glob

from pipeline.config.specs import Split
from pipeline.jobs.gpu_lease import visible_devices
from pipeline.jobs.json_files import read_json
from pipeline.study.study import Study

MOST_THREADS = 16
CORE_RATE = 3e11
"""Operations per second of one core in a forward pass: 2,300 tokens/s of SmolLM2-135M."""
LEAST_SECONDS = 30.0
"""Work of one core in a dump that is worth the start of more processes."""
VOCABULARY, DEPTHS = 262_144, 4
"""Of a model about which nothing is known yet: a large vocabulary, and four times the blocks below
the one that is studied."""


class Ranks:
    """What the job that seals a store waits for.

    Args:
        study: The study; what it has on disk is looked at when a store is asked for.
        granted: GPUs of ``--resources gpu=N``; None where it is not given.
        cores: Of ``--cores``; None where jobs run on other hosts.
        here: Whether jobs run on this host.
        planned: False in a job that Snakemake has planned elsewhere, which has its files.
        recorded: Gives the inputs with which Snakemake has made a file; None if it has not.
    """

    def __init__(
        self,
        study: Study,
        granted: int | None,
        cores: int | None,
        here: bool,
        planned: bool,
        recorded: Callable[[str], Sequence[str] | None],
    ) -> None:
        self._study, self._granted, self._cores, self._here = study, granted, cores, here
        self._planned, self._recorded = planned, recorded

    @cached_property
    def _gpus(self) -> int:
        """GPUs that may fill one store at a time; 0 where jobs compute on the CPU."""
        if self._study.config.device == "cpu" or self._granted == 0:
            return 0
        return min(self._granted or 1, len(visible_devices()))

    def count(self, model: str, split: Split) -> int:
        """Jobs that fill a store at a time; 1: the job that seals it fills it."""
        if not self._here:
            return 1
        spec = self._study.dump_spec(model, split)
        blocks = spec.rows // spec.dump.rows_per_block
        if self._gpus:
            return min(self._gpus, blocks)
        if self._is_short(model, split):
            return 1
        entry, cores = spec.model, self._cores or 1
        values = 12 * entry.d_model**2 * (entry.layer + 1) * DEPTHS + VOCABULARY * entry.d_model
        held = values * (4 if entry.dtype == "float32" else 2)
        return max(1, min(cores, blocks, memory() // 2 // held))

    def _is_short(self, model: str, split: Split) -> bool:
        """Whether one core has filled a store before more processes would have gained much."""
        spec = self._study.dump_spec(model, split)
        blocks = spec.model.layer + 1
        return spec.rows * 24 * spec.model.d_model**2 * blocks / CORE_RATE < LEAST_SECONDS

    def threads(self, model: str, split: Split) -> int:
        """Threads of each, so that all of them run at a time; one for a short dump on a CPU."""
        if self._here and not self._gpus and self._is_short(model, split):
            return 1
        return max(1, min(MOST_THREADS, (self._cores or MOST_THREADS) // self.count(model, split)))

    def threads_to_seal(self, model: str, split: Split) -> int:
        """Threads of the job that seals a store: it reads what ranks have written, or fills it."""
        return MOST_THREADS if self.inputs(model, split) else self.threads(model, split)

    def inputs(self, model: str, split: Split) -> list[str]:
        """The records of the ranks of one store."""
        study, manifest = self._study, self._study.manifest(model, split)
        if not self._planned:
            return sorted(glob(study.rank(escape(model), escape(split), "*")))
        if self._is_finished(model, split):
            first = study.rank(model, split, "").removesuffix(".json")
            return sorted(name for name in self._recorded(manifest) or () if name.startswith(first))
        count = self.count(model, split)
        return [study.rank(model, split, rank) for rank in range(count)] if count > 1 else []

    def _is_finished(self, model: str, split: Split) -> bool:
        """Whether the manifest is there, for the present specification."""
        manifest, expected = self._study.manifest_and_digest(model, split)
        try:
            return bool(read_json(manifest)["spec"] == expected)
        except (OSError, ValueError, KeyError):
            return False


def memory() -> int:
    """Bytes of this host's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
