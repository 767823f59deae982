"""Alternatives timed side by side: a round runs each once, so a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Timing:
    """One arm over the rounds, seconds.

    Attributes:
        wall: by round.
        cpu: of all threads of the process, by round.
    """

    wall: list[float]
    cpu: list[float]

    def wall_ratio(self, other: Timing) -> float:
        """Median over the rounds of other's time over this one's: how many times as fast it is."""
        return median(b / a for a, b in zip(self.wall, other.wall, strict=True))

    def cpu_ratio(self, other: Timing) -> float:
        """The same in processor time, which other processes hardly change."""
        return median(b / a for a, b in zip(self.cpu, other.cpu, strict=True))


def interleaved(arms: Mapping[str, Callable[[int], object]], rounds: int) -> dict[str, Timing]:
    """Call every arm with the number of the round, `rounds` times over; round 0 is not counted."""
    timings = {name: Timing([], []) for name in arms}
    for number in range(rounds + 1):
        for name, arm in arms.items():
            wall, cpu = time.perf_counter(), time.process_time()
            arm(number)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if number:
                timings[name].wall.append(wall)
                timings[name].cpu.append(cpu)
    return timings


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
