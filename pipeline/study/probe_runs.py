"""What probes found at one place: the schema of the files that the tables of probing read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import model_validator

from pipeline.study.config.sections import Count, FieldFaults, Natural, Section
from pipeline.study.look_runs import LookRun, UsedCell
from pipeline.study.metrics import Share, read_measure

ALL = "all"
"""In tables: the labels of every kind together, each counting once."""
NEURONS, DENSE = "k coordinates of the activation", "the whole activation"
"""What probes see for comparison, in words."""


class Label(Section):
    """A label, and what a probe on the activation makes of it."""

    name: str
    """Its kind and its class, such as ``letter.a``."""
    train: Count
    """Rows that probes were trained on, half of them with the label."""
    test: Count
    dense: Share
    """Accuracy of a probe on the whole activation."""
    dense_f1: Share
    neurons: list[Share]
    """Accuracy of a probe on k coordinates of the activation, for each k of the run."""

    @property
    def kind(self) -> str:
        """Letter, digit, word or source."""
        return self.name.partition(".")[0]


class Absorbed(Section):
    """Absorption of one label, see ``sagsae.evaluation.absorption``."""

    main: list[Natural]
    """The main sides: i is z > 0 of latent i, H + i is z < 0."""
    rows: Natural
    """Test rows with the label that the probe on whole activations finds."""
    fraction: Share | None
    """Mean absorption fraction over them; null where there are none."""
    full: Share | None
    """Share of them with full absorption."""


class LabelProbed(Section):
    """What a code says of one label."""

    accuracy: list[Share]
    """Of a probe on k sides, for each k of the run."""
    latents: list[Natural]
    """How many latents these k sides belong to."""
    sides: list[Natural]
    """Those of the largest k, the one whose mean differs most first."""
    absorption: Absorbed | None
    """Null where it is not measured: no first letter, or one that no probe finds."""


class ProbedCell(UsedCell):
    """One cell."""

    live_sides: Natural
    """Sides that fire on some row of the probes."""
    live_latents: Natural
    labels: list[LabelProbed]
    """In the order of the labels of the run."""


class ProbeRun(LookRun):
    """One recipe, place and seed."""

    ks: list[Count]
    rows: Count
    """Held-out rows that some label uses."""
    labels: list[Label]
    left_out: list[str]
    """Labels that have too few rows."""
    cells: list[ProbedCell]

    @property
    def used(self) -> list[ProbedCell]:
        return self.cells

    @model_validator(mode="after")
    def _a_value_for_each(self) -> ProbeRun:
        faults = []
        for i, label in enumerate(self.labels):
            faults += self._per_k(f"labels.{i}.neurons", label.neurons)
        for i, one in enumerate(self.cells):
            if len(one.labels) != len(self.labels):
                message = f"{len(one.labels)} for {len(self.labels)} labels of the run"
                faults.append((f"cells.{i}.labels", message))
            for j, probed in enumerate(one.labels):
                for name in ("accuracy", "latents"):
                    faults += self._per_k(f"cells.{i}.labels.{j}.{name}", getattr(probed, name))
        if faults:
            raise FieldFaults(faults)
        return self

    def _per_k(self, path: str, values: list[float] | list[int]) -> list[tuple[str, str]]:
        fits = len(values) == len(self.ks)
        return [] if fits else [(path, f"{len(values)} values for {len(self.ks)} numbers of sides")]


def read_probe_run(path: Path) -> ProbeRun:
    """Read and validate one file; raises MetricsError as ``read_measure``."""
    return read_measure(ProbeRun, path, "run `snakemake probe` first")


def read_probe_runs(paths: Iterable[Path]) -> list[ProbeRun]:
    """Several files, in the given order; raises MetricsError for the first unusable one."""
    return [read_probe_run(path) for path in paths]
