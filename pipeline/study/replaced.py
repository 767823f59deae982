"""Section ``replaced``: all layers of a model replaced at once; its jobs and what they leave."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter

from pipeline.study.cell import Cell
from pipeline.study.looks import CellsSpec, Look, LookRun, Upstream, UsedCell
from pipeline.study.metrics import Finite, NonNegative
from pipeline.study.scope import Scope
from pipeline.study.sections import Count, Section


class ReplacedSpec(CellsSpec):
    """What replacing all layers depends on, at the places of one recipe, model and hookpoint."""

    reads = ("heldout", "baselines", "asset")
    revision: int = 1
    baselines: str
    """Digest of the BaselineSpec."""


def sets_of(cells: list[Cell]) -> list[list[Cell]]:
    """Cells that differ in their layer alone, the lowest layer first."""

    def but_layer(cell: Cell) -> tuple[object, ...]:
        return cell.variant, cell.width, cell.knob, cell.seed

    ordered = sorted(cells, key=lambda cell: (*but_layer(cell), cell.place.layer or 0))
    return [list(group) for _, group in groupby(ordered, key=but_layer)]


class ReplacedSet(Section):
    """Cells of all layers, whose predictions stand in the model together."""

    cells: list[UsedCell]
    """The lowest layer first."""
    ce_each: list[NonNegative]
    """With each of them alone, as in its metrics."""
    ce_all: NonNegative
    """With all of them."""
    kl_all: Finite | None
    """Mean divergence of the model's own predictions from those."""


class ReplacedRun(LookRun):
    """One recipe, model and hookpoint. Cross entropies are in nats a token."""

    kind = "replaced"
    layers: list[int]
    ce_tokens: Count
    ce_clean: NonNegative
    ce_zero: NonNegative
    """With zeros in the place of what is predicted, in all layers."""
    sets: list[ReplacedSet]

    @property
    def used(self) -> list[UsedCell]:
        return [cell for together in self.sets for cell in together.cells]


class Replaced(Look):
    """What several layers cost together: `snakemake replaced`.

    Predictions of the cells of all layers, which differ in their layer alone, stand in the place of
    what they predict. Each cell reads what the layers below have left."""

    RUN = ReplacedRun
    THREADS = 16
    CROSSES = True

    def specs(self, scope: Scope, upstream: Upstream) -> dict[str, ReplacedSpec]:
        """Name -> specification of each job, one for each recipe, model and hookpoint."""
        specs: dict[str, ReplacedSpec] = {}
        covered = {tuple(site) for site in self.places(scope)}
        cells = [c for c in scope.grid if (c.recipe, c.model, c.hookpoint) in covered]
        whole = attrgetter("recipe", "model")
        for (recipe, model), own in groupby(sorted(cells, key=whole), key=whole):
            by_hookpoint: dict[str, list[Cell]] = {}
            for cell in own:
                bare = cell.place._replace(layer=None)
                by_hookpoint.setdefault(bare.name, []).append(cell)
            for hookpoint, here in by_hookpoint.items():
                layers = {cell.place.layer for cell in here}
                complete = [group for group in sets_of(here) if len(group) == len(layers)]
                if len(layers) > 1 and complete:
                    spec = ReplacedSpec(
                        recipe=recipe,
                        model=model,
                        hookpoint=hookpoint,
                        cells=[cell for group in complete for cell in group],
                        store=upstream.stores[model],
                        baselines=upstream.losses[model],
                    )
                    specs[spec.folder] = spec
        return specs
