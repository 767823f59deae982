"""Jobs on devices that share a file system, simulated event by event with SimPy.

Every job takes its time on its devices. Where jobs together want to move more bytes than the file
system gives, each gets its fair share and computes slower: what one job does not want is left to
the others (max-min fairness). One process plans, submits the jobs one after the other, and learns
of their ends late.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

import simpy

from pipeline.schedule.jobs import Job, Phase

DEVICES = "devices"
"""What sets a bound: that all of them are busy."""
ALMOST_NOTHING = 1e-9
"""Seconds: what rounding leaves of a phase."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The process that submits jobs, in seconds."""

    plan: float = 0.0
    """Before the first job."""
    submit: float = 0.0
    """For each job, one after the other."""
    notice: float = 0.0
    """From the end of a job until those that need it can be submitted."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a simulation, in seconds."""

    makespan: float
    held: float
    """Device-seconds that jobs held."""
    worked: float
    """Device-seconds that jobs would have held had they not waited for the disk."""
    devices: int

    @property
    def utilisation(self) -> float:
        """Share of the devices' time in which they work and wait for nothing."""
        return self.worked / (self.devices * self.makespan)

    @property
    def waited(self) -> float:
        """Share of the time that jobs held devices in which they waited for the disk."""
        return 1 - self.worked / self.held if self.held else 0.0


class Disk:
    """A file system whose rate its readers share.

    Args:
        env: Of the simulation.
        rate: Bytes a second, all together.
    """

    def __init__(self, env: simpy.Environment, rate: float):
        self._env, self._rate = env, rate
        self._wanted: dict[object, float] = {}
        self._shares: dict[object, float] = {}
        self._changed = env.event()

    def use(self, phase: Phase) -> Generator[simpy.Event]:
        """Compute and move bytes, as fast as the others leave room for."""
        flow, left = object(), phase.seconds
        self._wanted[flow] = phase.moved / phase.seconds
        self._share()
        while left > ALMOST_NOTHING:
            speed, began = self._shares[flow] / self._wanted[flow], self._env.now
            yield self._env.timeout(left / speed) | self._changed
            left -= (self._env.now - began) * speed
        del self._wanted[flow]
        self._share()

    def _share(self) -> None:
        """Give each what it wants, or of what is left the same as the others that want more."""
        left, waiting, self._shares = self._rate, len(self._wanted), {}
        for flow, wanted in sorted(self._wanted.items(), key=lambda item: item[1]):
            self._shares[flow] = min(wanted, left / waiting)
            left, waiting = left - self._shares[flow], waiting - 1
        changed, self._changed = self._changed, self._env.event()
        changed.succeed()


class Simulation:
    """Jobs, in the order in which they are preferred, on a number of devices.

    Args:
        jobs: What to run.
        devices: How many there are.
        disk: Bytes a second.
        head: The process that submits.
    """

    def __init__(self, jobs: Sequence[Job], devices: int, disk: float, head: Head):
        self._env = simpy.Environment()
        self._disk = Disk(self._env, disk)
        self._jobs, self._devices, self._head = jobs, devices, head
        self._free, self._held = devices, 0.0
        self._queue: list[tuple[Job, simpy.Event]] = []
        self._submitting = simpy.Resource(self._env)

    def run(self) -> Outcome:
        """Run all of them to the end.

        Raises:
            ValueError: A job needs one that there is not, or itself.
        """
        ends = {job.name: self._env.event() for job in self._jobs}
        for job in self._jobs:
            if unknown := job.needs - ends.keys():
                raise ValueError(f"{job.name} needs {min(unknown)}, which no job makes")
        list(TopologicalSorter({job.name: job.needs for job in self._jobs}).static_order())
        for job in self._jobs:
            self._env.process(self._life(job, ends))
        self._env.run(until=self._env.all_of(list(ends.values())))
        worked = sum(job.seconds * self._width(job) for job in self._jobs)
        return Outcome(
            makespan=self._env.now, held=self._held, worked=worked, devices=self._devices
        )

    def _life(self, job: Job, ends: Mapping[str, simpy.Event]) -> Generator[simpy.Event]:
        """A job from the plan to its end."""
        yield self._env.timeout(self._head.plan)
        if job.needs:
            yield self._env.all_of([ends[name] for name in sorted(job.needs)])
            yield self._env.timeout(self._head.notice)
        with self._submitting.request() as turn:
            yield turn
            yield self._env.timeout(self._head.submit)
        started = self._env.event()
        self._queue.append((job, started))
        self._start_what_fits()
        yield started
        began = self._env.now
        for phase in job.phases:
            if phase.moved:
                yield from self._disk.use(phase)
            else:
                yield self._env.timeout(phase.seconds)
        self._held += self._width(job) * (self._env.now - began)
        self._free += self._width(job)
        ends[job.name].succeed()
        self._start_what_fits()

    def _start_what_fits(self) -> None:
        """Start jobs in the order in which they came; a narrow one may overtake a wide one."""
        waiting = []
        for job, started in self._queue:
            if (width := self._width(job)) <= self._free:
                self._free -= width
                started.succeed()
            else:
                waiting.append((job, started))
        self._queue = waiting

    def _width(self, job: Job) -> int:
        return min(job.devices, self._devices)


def bounds(jobs: Sequence[Job], devices: int, disk: float, head: Head) -> dict[str, float]:
    """Seconds that no order of the jobs can beat, by what sets them."""
    held = sum(job.seconds * min(job.devices, devices) for job in jobs)
    return {
        DEVICES: held / devices,
        "disk": sum(job.moved for job in jobs) / disk,
        "longest chain": longest_chain(jobs),
        "planning": head.plan + len(jobs) * head.submit,
    }


def longest_chain(jobs: Iterable[Job]) -> float:
    """Seconds of the longest chain of jobs that need each other."""
    known = {job.name: job for job in jobs}
    order = TopologicalSorter({name: job.needs for name, job in known.items()}).static_order()
    ends: dict[str, float] = {}
    for name in order:
        before = max((ends[other] for other in known[name].needs), default=0.0)
        ends[name] = before + known[name].seconds
    return max(ends.values(), default=0.0)
