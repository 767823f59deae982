"""Section ``probe``: what can be read from codes; its jobs and what they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.study.cell import by_sweep
from pipeline.study.looks import CellsSpec, LookRun, Restricted, UsedCell, unknown_names
from pipeline.study.metrics import Share
from pipeline.study.sections import ONCE, Ascending, Count, Natural, Section

if TYPE_CHECKING:
    from pipeline.study.study import Study
    from pipeline.study.study_config import StudyConfig

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


class Probe(Probing, Restricted):
    """Sparse probing and feature absorption: `snakemake probe`.

    Every cell of the grid is probed, but for those that the fields below leave out."""

    seeds: Count = 1
    """Seeds of a sweep whose cells are probed, the lowest first."""


class ProbeSpec(CellsSpec):
    """Of probing the cells of one seed that were trained under one recipe at one place."""

    reads = ("heldout", "tokens", "asset")
    revision: int = 1
    seed: int
    probe: Probing


SOURCE = "source"


def probe_specs(study: Study) -> dict[str, ProbeSpec]:
    """File -> specification of each job that probes codes, in the order of the tables; none unless
    section probe asks for them."""
    probe = study.config.probe
    if probe is None:
        return {}
    chosen = [
        cell
        for found in by_sweep(study.cells).values()
        for cell in found
        if cell.seed in sorted({one.seed for one in found})[: probe.seeds]
    ]
    specs = {}
    for place in probe.places(study.compared):
        here = [cell for cell in chosen if (cell.recipe, cell.model, cell.hookpoint) == place]
        for seed in sorted({cell.seed for cell in here}):
            spec = ProbeSpec(
                **place._asdict(),
                seed=seed,
                cells=[cell for cell in here if cell.seed == seed],
                store=study.stores[place.model, "heldout"],
                probe=probe,
            )
            specs[study.probe_run(spec.model, spec.place, seed)] = spec
    return specs


def probe_faults(config: StudyConfig) -> list[str]:
    """Faults of section probe that concern other sections, each with its path."""
    probe = config.probe
    if probe is None:
        return []
    faults = unknown_names(config, probe, "probe")
    if probe.labels == [SOURCE] and len(config.text.sources) < 2:
        faults.append(
            "probe.labels: source alone, and the text has one source: add another kind of label, "
            "or sources to section text"
        )
    for name in ("train_rows", "test_rows"):
        if getattr(probe, name) < 2 * probe.least_rows:
            faults.append(
                f"probe.{name}: {getattr(probe, name)} rows, half of them with the label, are "
                f"fewer than least_rows {probe.least_rows} asks for: raise it, or lower that"
            )
    return faults


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
