"""Section ``browser``: pages on which latents can be looked at; their jobs."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.study.cell import Cell, by_sweep
from pipeline.study.looks import Look, Site, SweptSpec, Upstream
from pipeline.study.outputs import SHOWN
from pipeline.study.scope import Scope
from pipeline.study.sections import Count, Names


class BrowserSpec(SweptSpec):
    """What a job depends on that collects what is shown of one cell's latents."""

    reads = ("heldout", "heldout_tokens", "asset")
    revision: int = 2
    shown: list[Cell]
    """Cells of a sweep, all seeds of each lambda, from which one is taken by its L0; or one."""
    rival: list[Cell]
    """Cells of the sweep that it is compared with, from which one is taken in the same way; empty
    where there is none."""
    by_level: bool
    """Whether the level decides; else the one cell is shown, and its L0 decides on the rival."""
    store: str
    """Digest of the held-out store's DumpSpec."""
    dtype: str
    """Arithmetic of the language model."""
    top: int
    """Contexts that are shown of each latent and sign."""

    @property
    def sides(self) -> list[list[Cell]]:
        return [self.shown, self.rival]


class Browser(Look):
    """The latent browser: `snakemake browser`.

    Without a list of cells it shows both sides of the first comparison at every model and
    hookpoint: of each sweep the cell at the lambda whose L0 is nearest the first matched L0, with
    the lowest seed."""

    FILE = SHOWN
    top: Count = 10
    """Contexts of each sign that are shown of a latent, those in which it fires most strongly."""
    cells: Names = None
    """Show these cells, by their names under ``cells/``, on the grid or off it."""

    def specs(self, scope: Scope, upstream: Upstream) -> dict[str, BrowserSpec]:
        """Name -> specification of the job of each shown cell."""
        specs = {}
        all_shown = self._listed(scope) if self.cells else self._compared(scope)
        for look, seed, shown, rival in all_shown:
            model = shown[0].model
            specs[look] = BrowserSpec(
                model=model,
                seed=seed,
                level=scope.matched_levels[0],
                shown=shown,
                rival=rival,
                by_level=not self.cells,
                store=upstream.stores[model],
                dtype=upstream.dtypes[model],
                top=self.top,
            )
        return specs

    def _compared(self, scope: Scope) -> Iterator[Shown]:
        """Both sides of the first comparison wherever the grid has them."""
        for place in self.places(scope):
            sides = _sides(scope, place)
            for shown, rival in (sides, sides[::-1]):
                if shown:
                    seed = min(cell.seed for cell in [*shown, *rival])
                    folder, _, _ = shown[0].path.rpartition("/")
                    yield f"{folder}/w{shown[0].width}_seed{seed}", seed, shown, rival

    def _listed(self, scope: Scope) -> Iterator[Shown]:
        """Cells that are named, each beside the other side of the first comparison."""
        for cell in map(Cell.from_path, self.cells or []):
            candidate, baseline = _sides(scope, Site(cell.recipe, cell.model, cell.hookpoint))
            of_baseline = (cell.variant, cell.width) in {(c.variant, c.width) for c in baseline}
            yield cell.path, cell.seed, [cell], candidate if of_baseline else baseline


# Name of what is shown, seed, the cells from which it is taken, those of which its rival is.
Shown = tuple[str, int, list[Cell], list[Cell]]


def _sides(scope: Scope, place: Site) -> tuple[list[Cell], list[Cell]]:
    """The cells of both sides of the first comparison at a place; none without a comparison."""
    if not scope.comparisons:
        return [], []
    sweeps = by_sweep(scope.grid)
    candidate, baseline = scope.sides(scope.comparisons[0], *place)
    return sweeps.get(candidate, []), sweeps.get(baseline, [])
