"""Section ``signs``: what becomes of directions and their opposites; its jobs, what they leave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.study.cell import Cell
from pipeline.study.looks import CellsSpec, LookRun, Restricted, UsedCell, unknown_names
from pipeline.study.metrics import Finite, Share
from pipeline.study.sections import Count, Natural, Section
from sagsae.autoencoders import registry

if TYPE_CHECKING:
    from pipeline.study.study import Study
    from pipeline.study.study_config import StudyConfig


class Signs(Restricted):
    """Seeds, opposite pairs and poles: `snakemake signs`.

    All cells of the grid are looked into, but for those that the fields below leave out."""


class SignsSpec(CellsSpec):
    """Of looking into all cells that were trained under one recipe at one place, with one-sided
    ones of another recipe in which poles of these are sought."""

    reads = ("heldout",)
    revision: int = 3


def is_two_sided(cell: Cell) -> bool:
    """Whether its latents may have either sign; of variants that are not registered it is not
    known, and they count as one-sided."""
    return registry.sides(cell.variant) == 2


def one_sided_forms(cell: Cell, cells: Iterable[Cell]) -> list[Cell]:
    """The cells at the same place in which the poles of a two-sided cell may be sought: of the
    one-sided variant that it is a form of, of twice its width, and of its k where it has one. None
    of a one-sided cell.

    They are of the next seed, not of its own: two cells of one seed begin at the same rows, so that
    some of these match whatever was learned."""
    wanted = registry.stem(cell.variant), 2 * cell.width, cell.k
    found = [one for one in cells if (one.variant, one.width, one.k) == wanted]
    others = {one.seed for one in found} - {cell.seed}
    chosen = min(others, key=lambda seed: (seed < cell.seed, seed), default=None)
    return [one for one in found if one.seed == chosen] if is_two_sided(cell) else []


def signs_specs(study: Study) -> dict[str, SignsSpec]:
    """File -> specification of each job that looks into signs, in the order of the tables; none
    unless section signs asks for them."""
    signs, compared = study.config.signs, study.compared
    specs = {}
    for place in signs.places(compared) if signs else []:
        recipe, model, hookpoint = place
        here = [cell for cell in study.cells if (cell.model, cell.hookpoint) == (model, hookpoint)]
        own = [cell for cell in here if cell.recipe == recipe]
        under = [cell for cell in here if cell.recipe == compared.home(recipe, cell.variant)]
        sought_in = (one for cell in own for one in one_sided_forms(cell, under))
        if own:
            cells = sorted({*own, *sought_in})
            store = study.stores[model, "heldout"]
            spec = SignsSpec(**place._asdict(), cells=cells, store=store)
            specs[study.signs_run(model, spec.place)] = spec
    return specs


def signs_faults(config: StudyConfig) -> list[str]:
    """Faults of section signs that concern other sections, each with its path."""
    return unknown_names(config, config.signs, "signs") if config.signs else []


class SignedCell(UsedCell):
    """One cell, and pairs of its live latents, see
    ``sagsae.evaluation.signs.poles.SignedPairs``."""

    collapsed: bool
    """Such a cell is in no other part of the run."""
    live: Natural
    """Latents that fire on some held-out row."""
    two_sided: Natural
    """Latents of which a tenth of the firings, or more, have the rarer sign."""
    opposite: Natural
    alike: Natural
    dead_against: Share | None = None
    """Of the latents that began against the mean, see ``sagsae.evaluation.signs.starts``. Null of a
    class of one's own, whose start is not known."""
    dead_along: Share | None = None


class Agreement(Section):
    """Cells that differ in their seed alone, see ``sagsae.evaluation.signs.consistency``."""

    cells: list[Cell]
    greedy: Finite
    assigned: Finite
    found: Share


class FoundPoles(Section):
    """What a one-sided cell has of the two-sided latents of a cell, see ``sagsae.poles``."""

    cell: Cell
    one_sided: Cell
    """Of several lambdas that whose L0 is nearest."""
    both: Natural
    one: Natural
    neither: Natural
    along: Natural
    stronger: Finite
    weaker: Finite


class SignsRun(LookRun):
    """One recipe and place."""

    kind = "signs"
    rows: Count
    """Held-out rows on which poles and latents were to fire together."""
    cells: list[SignedCell]
    agreements: list[Agreement]
    """Of each lambda or k of each sweep of the recipe that has two seeds at least."""
    poles: list[FoundPoles]

    @property
    def used(self) -> list[SignedCell]:
        return self.cells
