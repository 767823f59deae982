"""Section ``signs``: what becomes of directions and their opposites; its jobs, what they leave."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.study.cell import Cell
from pipeline.study.looks import CellsSpec, Look, LookRun, Upstream, UsedCell
from pipeline.study.metrics import Finite, Share
from pipeline.study.scope import Scope
from pipeline.study.sections import Count, Natural, Section
from sagsae.autoencoders import registry


class SignsSpec(CellsSpec):
    """What a job depends on that looks into all cells of one recipe and place, and into one-sided
    cells of another recipe in which the poles of these cells are sought."""

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
    if not is_two_sided(cell):
        return []
    wanted = registry.stem(cell.variant), 2 * cell.width, cell.k
    forms = [form for form in cells if (form.variant, form.width, form.k) == wanted]
    seeds = {form.seed for form in forms} - {cell.seed}
    chosen = min(seeds, key=lambda seed: (seed < cell.seed, seed), default=None)
    return [form for form in forms if form.seed == chosen]


class SignedCell(UsedCell):
    """One cell, and pairs of its live latents, see
    ``sagsae.evaluation.signs.SignedPairs``."""

    collapsed: bool
    """Such a cell is in no other part of the run."""
    live: Natural
    """Latents that fire on some held-out row."""
    two_sided: Natural
    """Latents of which a tenth of the firings, or more, have the rarer sign."""
    opposite: Natural
    alike: Natural
    dead_against: Share | None = None
    """Of the latents that began against the mean, see ``sagsae.evaluation.signs``. Null of a
    class of one's own, whose start is not known."""
    dead_along: Share | None = None


class Agreement(Section):
    """Cells that differ in their seed alone, see ``sagsae.evaluation.signs``."""

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


class Signs(Look):
    """Seeds, opposite pairs and poles: `snakemake signs`.

    All cells of the grid are looked into, but for those that the fields below leave out."""

    RUN = SignsRun

    def specs(self, scope: Scope, upstream: Upstream) -> dict[str, SignsSpec]:
        """Name -> specification of each job, one for each place."""
        specs = {}
        for place in self.places(scope):
            recipe, *where = place
            here = [cell for cell in scope.grid if [cell.model, cell.hookpoint] == where]
            trained = [cell for cell in here if cell.recipe == recipe]
            under = [cell for cell in here if cell.recipe == scope.home(recipe, cell.variant)]
            forms = (form for cell in trained for form in one_sided_forms(cell, under))
            if trained:
                cells, store = sorted({*trained, *forms}), upstream.stores[place.model]
                spec = SignsSpec(**place._asdict(), cells=cells, store=store)
                specs[spec.folder] = spec
        return specs
