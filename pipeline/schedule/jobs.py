"""The jobs of a study, what each takes, and how a profile submits them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from pipeline.config.yaml_files import load_yaml
from pipeline.cost.rates import Device, Rates
from pipeline.cost.work import Work, Workload
from pipeline.study.cell import Cell
from pipeline.study.streams import put_together
from pipeline.study.study import SPLITS, Study

PROFILE = Path(__file__).resolve().parents[2] / "profiles" / "slurm" / "profile.yaml"
WIDE = {"dump": 16, "baselines": 16, "dial_run": 16}
"""Cores that jobs of these rules take, of those there are; all others take one."""
LOCAL_SECONDS = 10.0
"""Of a rule that runs beside Snakemake: tables, figures, the report."""


@dataclass(frozen=True)
class Phase:
    """A part of a job that computes and moves bytes at the same time."""

    seconds: float
    """What it takes if it waits for no disk, on one device or core."""
    moved: float = 0.0
    """Bytes."""


@dataclass(frozen=True)
class Job:
    """A job, or several that are submitted together and run one after the other.

    Attributes:
        name: Unique; files of the study where rules name them.
        rule: Of which rule, or the group of a profile.
        phases: One after the other.
        devices: GPUs, or cores, that it holds from its first phase to its last; of cores it takes
            fewer where there are fewer.
        needs: Names of jobs that must be finished.
        local: It runs beside Snakemake and holds no device.
        members: Jobs that it stands for.
    """

    name: str
    rule: str
    phases: tuple[Phase, ...]
    devices: int = 1
    needs: frozenset[str] = frozenset()
    local: bool = False
    members: int = 1

    @property
    def seconds(self) -> float:
        """All phases, if no disk is waited for."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def moved(self) -> float:
        """Bytes, of all phases."""
        return sum(phase.moved for phase in self.phases)


class JobsOf:
    """The jobs of a whole study that has nothing on disk yet, at the rates of a device.

    Downloads are not in it, nor what is made on request: synthetic protocols, browser, exports.
    """

    def __init__(self, study: Study, rates: Rates, device: Device):
        self._study, self._rates, self._device = study, rates, device
        self._load = Workload(study, rates)

    def all(self) -> list[Job]:
        """In an order in which they could run."""
        stores = [job for model in self._load.models for job in self._store(model)]
        cells = list(self._cells())
        dials = [self._dial(file) for file in self._study.dials]
        probes = [self._probe(file) for file in self._study.probes]
        made = frozenset(job.name for job in cells + dials + probes)
        tables = Job("tables", "tables", (Phase(LOCAL_SECONDS),), 0, made, local=True)
        return [*stores, *cells, *dials, *probes, tables]

    def _store(self, model: str) -> Iterable[Job]:
        study, load, rates = self._study, self._load, self._rates.cluster
        for split in SPLITS:
            seconds = load.tokens(model, split).tokens / rates.tokens_per_second
            phase = Phase(self._device.job_seconds + seconds)
            yield Job(study.tokens(model, split), "tokens", (phase,), devices=self._host)
        for split in SPLITS:
            work = load.dump(model, split)
            sealing = Phase(self._least(work), work.moved)
            needs = {study.tokens(model, name) for name in ("train", split)}
            phases = (self._start, self._phase(work), sealing)
            yield self._wide(Job(study.manifest(model, split), "dump", phases, 1, frozenset(needs)))
        made = frozenset(study.manifest(model, split) for split in SPLITS)
        passes = (self._start, self._phase(load.baselines(model)))
        yield self._wide(Job(study.baselines(model), "baselines", passes, 1, made))

    def _cells(self) -> Iterable[Job]:
        study = self._study
        own = [cell for cell in study.cells if cell not in study.foreign]
        for cells in put_together(study, own, study.config.cells_per_stream):
            model = cells[0].model
            manifest = frozenset([study.manifest(model, "train")])
            trained = self._phase(self._load.training(cells))
            if len(cells) == 1:
                yield self._cell(cells[0], trained)
                continue
            name = f"stream of {study.metrics(cells[0])}"
            yield Job(name, "train_together", (self._start, trained), 1, manifest)
            for cell in cells:
                one = self._cell(cell)
                yield replace(one, needs=one.needs | {name})
        for cell in study.foreign:
            yield self._cell(cell)

    def _cell(self, cell: Cell, *trained: Phase) -> Job:
        study = self._study
        needs = {study.manifest(cell.model, split) for split in SPLITS}
        needs.add(study.baselines(cell.model))
        phases = (self._start, *trained, self._phase(self._load.evaluation(cell)))
        return Job(study.metrics(cell), "cell", phases, 1, frozenset(needs))

    def _dial(self, file: str) -> Job:
        spec = self._study.dials[file]
        needs = frozenset(self._study.metrics(cell) for cell in spec.candidate + spec.baseline)
        phases = (self._start, self._phase(self._load.dial(spec)))
        return self._wide(Job(file, "dial_run", phases, 1, needs))

    def _probe(self, file: str) -> Job:
        spec = self._study.probes[file]
        needs = frozenset(self._study.metrics(cell) for cell in spec.cells)
        phases = (self._start, self._phase(self._load.probe(spec)))
        return Job(file, "probe_run", phases, 1, needs)

    def _wide(self, job: Job) -> Job:
        """A job that computes on all cores it gets, where the devices are cores."""
        return replace(job, devices=WIDE[job.rule]) if self._device.is_core else job

    def _phase(self, work: Work) -> Phase:
        return Phase(max(work.seconds(self._device), self._least(work)), work.moved)

    def _least(self, work: Work) -> float:
        """Seconds that one job takes at least to move its bytes."""
        return work.moved / (self._rates.cluster.job_gb_per_second * 1e9)

    @property
    def _start(self) -> Phase:
        return Phase(self._device.job_seconds)

    @property
    def _host(self) -> int:
        """Devices of a job that computes on the host."""
        return 1 if self._device.is_core else 0


@dataclass(frozen=True)
class Grouping:
    """Which rules a profile submits together.

    Attributes:
        groups: Rule -> group. Jobs of one group that depend on each other are one submission.
        components: Group -> how many of these are one submission.
    """

    groups: Mapping[str, str]
    components: Mapping[str, int]

    @classmethod
    def read(cls, profile: Path = PROFILE) -> Grouping:
        """Entries ``groups`` and ``group-components`` of a profile."""
        entries = load_yaml(profile)
        groups = dict(item.split("=") for item in entries.get("groups", []))
        components = dict(item.split("=") for item in entries.get("group-components", []))
        return cls(groups, {name: int(count) for name, count in components.items()})

    def submissions(self, jobs: Iterable[Job]) -> list[Job]:
        """What a scheduler gets of some jobs, in an order in which it could run."""
        known = {job.name: job for job in jobs}
        whose = self._components(known)
        parts: dict[str, list[Job]] = {}
        for name, job in known.items():
            parts.setdefault(whose[name], []).append(job)
        return [_joined(name, members, whose, self.groups) for name, members in parts.items()]

    def _components(self, known: Mapping[str, Job]) -> dict[str, str]:
        """Job -> the job that its submission is named after."""
        parent = {name: name for name in known}

        def root(name: str) -> str:
            while parent[name] != name:
                name = parent[name]
            return name

        for name, job in known.items():
            for other in sorted(job.needs & known.keys()):
                group = self.groups.get(job.rule)
                if group is not None and group == self.groups.get(known[other].rule):
                    parent[root(name)] = root(other)
        for group, count in self.components.items():
            roots = iter(
                name for name in known if parent[name] == name and self._in(known[name], group)
            )
            while chunk := list(islice(roots, count)):
                parent |= dict.fromkeys(chunk, chunk[0])
        return {name: root(name) for name in known}

    def _in(self, job: Job, group: str) -> bool:
        return self.groups.get(job.rule) == group


def _joined(
    name: str, members: list[Job], whose: Mapping[str, str], groups: Mapping[str, str]
) -> Job:
    """Members of one submission: they take turns on its device."""
    needs = {whose.get(other, other) for job in members for other in job.needs} - {name}
    return Job(
        name,
        groups.get(members[0].rule, members[0].rule),
        tuple(phase for job in members for phase in job.phases),
        max(job.devices for job in members),
        frozenset(needs),
        all(job.local for job in members),
        len(members),
    )
