"""Jobs that look into trained cells: those of the dial and of the probes, and what they make."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TypeVar

from pipeline.study.cell import Cell
from pipeline.study.config.spelling import CellNameError
from pipeline.study.config.study_config import StudyConfig
from pipeline.study.dials import dial_specs
from pipeline.study.outputs import Outputs
from pipeline.study.probes import probe_specs
from pipeline.study.scope import Scope
from pipeline.study.specs import DialSpec, ProbeSpec

Made = TypeVar("Made", DialSpec, ProbeSpec)


class Looks(Outputs):
    """What a study looks into, by the sections dial and probe."""

    config: StudyConfig
    cells: list[Cell]

    @property
    @abstractmethod
    def compared(self) -> Scope:
        """What tables, figures and claims cover."""

    @abstractmethod
    def losses(self) -> dict[str, str]:
        """Model -> digest of the specification of its baselines."""

    @abstractmethod
    def heldout_stores(self) -> dict[str, str]:
        """Model -> digest of the specification of its held-out store."""

    @cached_property
    def dials(self) -> dict[str, DialSpec]:
        """File -> specification of each job that steers with latents; none unless asked for."""
        if self.config.dial is None:
            return {}
        found = dial_specs(self.config.dial, self.cells, self.compared, self.losses())
        return {self.dial_run(*_place(one), one.seed, _of_comparison(one)): one for one in found}

    @cached_property
    def probes(self) -> dict[str, ProbeSpec]:
        """File -> specification of each job that probes codes; none unless asked for."""
        if self.config.probe is None:
            return {}
        found = probe_specs(self.config.probe, self.cells, self.compared, self.heldout_stores())
        return {self.probe_run(*_place(one), one.seed): one for one in found}

    @property
    def look_specs(self) -> dict[str, DialSpec | ProbeSpec]:
        """Those of both."""
        return {**self.dials, **self.probes}

    def dial_spec(self, file: str) -> DialSpec:
        """Of the job that makes a file; raises CellNameError that lists those there are."""
        return _of(self.dials, file, "does not steer there", "dial")

    def probe_spec(self, file: str) -> ProbeSpec:
        """Of the job that makes a file; raises CellNameError that lists those there are."""
        return _of(self.probes, file, "does not probe there", "probe")


def _place(one: DialSpec | ProbeSpec) -> tuple[str, str]:
    return one.model, one.hookpoint + (one.recipe and f"@{one.recipe}")


def _of_comparison(one: DialSpec) -> str:
    return "" if one.comparison == 1 else f"_comparison{one.comparison}"


def _of(known: dict[str, Made], file: str, fault: str, section: str) -> Made:
    if file not in known:
        there = ", ".join(known) or f"none: see section {section} of its configuration"
        raise CellNameError(f"{file}: this study {fault}; it has {there}")
    return known[file]
