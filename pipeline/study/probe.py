"""Section ``probe``: what can be read from codes; its jobs and what they leave."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.study.cell import by_sweep
from pipeline.study.looks import CellsSpec, Look, LookRun, Upstream, UsedCell
from pipeline.study.metrics import Share
from pipeline.study.scope import Scope
from pipeline.study.sections import ONCE, Ascending, Count, FieldFaults, Natural, Section

Sides = Annotated[int, Field(ge=1, le=256)]


class Probing(Section):
    """What one job of the probes does."""

    labels: Annotated[
        list[Literal["letter", "digit", "word", "source"]], Field(min_length=1), *ONCE
    ] = ["letter", "digit", "word", "source"]
    """Kinds of label: first letter of a word; whether a token holds a digit; four lists of
    function words; source of the document, where the text has several. Absorption is measured on
    first letters."""
    ks: Annotated[list[Sides], Field(min_length=1), Ascending] = [1, 2, 5]
    """Numbers of sides that a probe may use, ascending. Each sign of a latent is a side."""
    train_rows: Annotated[int, Field(ge=2, le=2**53)] = 4000
    """Held-out rows that a probe is trained on at most, half of them with the label."""
    test_rows: Annotated[int, Field(ge=2, le=2**53)] = 1000
    """Held-out rows that it is tested on at most, of other documents."""
    least_rows: Count = 30
    """Rows with a label, in training and in test, below which the label is left out."""

    @model_validator(mode="after")
    def _enough_rows(self) -> Self:
        faults = [
            (
                name,
                f"{rows} rows, half of them with the label, are fewer than least_rows "
                f"{self.least_rows} asks for: raise it, or lower that",
            )
            for name in ("train_rows", "test_rows")
            if (rows := getattr(self, name)) < 2 * self.least_rows
        ]
        if faults:
            raise FieldFaults(faults)
        return self


class ProbeSpec(CellsSpec):
    """What probing the cells of one recipe, place and seed depends on."""

    reads = ("heldout", "heldout_tokens", "asset")
    revision: int = 1
    seed: int
    probe: Probing


SOURCE = "source"


# In tables: the labels of every kind together, each counting once.
ALL = "all"

# What probes see for comparison, in words.
NEURONS, DENSE = "k coordinates of the activation", "the whole activation"


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
    """Absorption of one label, see ``sagsae.evaluation.probing.absorption``."""

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

    kind = "probe"
    seed: Natural
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


class Probe(Probing, Look):
    """Sparse probing and feature absorption: `snakemake probe`.

    Every cell of the grid is probed, but for those that the fields below leave out."""

    RUN = ProbeRun
    seeds: Count = 1
    """Seeds of a sweep whose cells are probed, the lowest first."""

    def specs(self, scope: Scope, upstream: Upstream) -> dict[str, ProbeSpec]:
        """Name -> specification of each job, one for each place and seed."""
        specs: dict[str, ProbeSpec] = {}
        probed = [
            cell
            for cells in by_sweep(scope.grid).values()
            for cell in cells
            if cell.seed in sorted({cell.seed for cell in cells})[: self.seeds]
        ]
        for place in self.places(scope):
            here = [cell for cell in probed if (cell.recipe, cell.model, cell.hookpoint) == place]
            for seed in sorted({cell.seed for cell in here}):
                spec = ProbeSpec(
                    **place._asdict(),
                    seed=seed,
                    cells=[cell for cell in here if cell.seed == seed],
                    store=upstream.stores[place.model],
                    probe=self,
                )
                specs[f"{spec.folder}/seed{seed}"] = spec
        return specs
