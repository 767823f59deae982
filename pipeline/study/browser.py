"""Section ``browser``: pages on which latents can be looked at, and what their jobs read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.study.cell import Cell, by_sweep
from pipeline.study.grid import Comparison
from pipeline.study.inputs import read_by_look
from pipeline.study.looks import Place, Restricted, SweptSpec
from pipeline.study.sections import Count, Names

if TYPE_CHECKING:
    from pipeline.study.study import Study


class Browser(Restricted):
    """The latent browser: `snakemake browser`.

    Without a list of cells it shows both sides of the first comparison at every model and
    hookpoint: of each sweep the cell at the lambda whose L0 is nearest the first matched L0, with
    the lowest seed."""

    top: Count = 10
    """Contexts of each sign that are shown of a latent, those in which it fires most strongly."""
    cells: Names = None
    """Show these cells, by their names under ``cells/``, on the grid or off it."""


class BrowserSpec(SweptSpec):
    """Of what is shown of one cell's latents."""

    reads = ("heldout", "tokens", "asset")
    revision: int = 1
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


@cache
def browser_specs(study: Study) -> dict[str, BrowserSpec]:
    """File -> specification of each job that collects what is shown; none unless asked for.

    Raises:
        CellNameError: a listed cell that the study cannot have.
    """
    section = study.config.browser
    if section is None:
        return {}
    specs = {}
    found = _listed(study, section.cells) if section.cells else _compared(study, section)
    for name, seed, shown, rival in found:
        model = shown[0].model
        specs[study.browser_cell(name)] = BrowserSpec(
            model=model,
            seed=seed,
            level=study.compared.matched_levels[0],
            shown=shown,
            rival=rival,
            by_level=not section.cells,
            store=study.stores[model, "heldout"],
            dtype=study.model_named(model).dtype,
            top=section.top,
        )
    return specs


# Name of what is shown, seed, the cells from which it is taken, those of which its rival is.
Shown = tuple[str, int, list[Cell], list[Cell]]


def _compared(study: Study, section: Browser) -> Iterator[Shown]:
    """Both sides of the first comparison wherever the grid has them."""
    for item in study.compared.comparisons[:1]:
        for place in section.places(study.compared):
            sides = _sides(study, item, place)
            for shown, rival in (sides, sides[::-1]):
                if shown:
                    seed = min(cell.seed for cell in [*shown, *rival])
                    folder, _, _ = shown[0].path.rpartition("/")
                    yield f"{folder}/w{shown[0].width}_seed{seed}", seed, shown, rival


def _listed(study: Study, names: list[str]) -> Iterator[Shown]:
    """Cells by name, each beside the other side of the first comparison."""
    for name in names:
        cell = study.cell_named(name)
        rival: list[Cell] = []
        for item in study.compared.comparisons[:1]:
            place = Place(cell.recipe, cell.model, cell.hookpoint)
            candidate, baseline = _sides(study, item, place)
            same = cell.variant, cell.width
            rival = candidate if same in {(c.variant, c.width) for c in baseline} else baseline
        yield name, cell.seed, [cell], rival


def _sides(study: Study, item: Comparison, place: Place) -> tuple[list[Cell], list[Cell]]:
    """The cells of candidate and baseline at one place, under one recipe."""
    sweeps = by_sweep(study.cells)
    candidate, baseline = (sweeps.get(key, []) for key in study.compared.sides(item, *place))
    return candidate, baseline


def read_by_browser(study: Study, shown: str) -> dict[str, Any]:
    """What the job of a shown cell reads, by the name of the input.

    Raises:
        CellNameError: the browser does not show it.
    """
    file = study.browser_cell(shown)
    spec: BrowserSpec = study.look_spec(file)
    cells = set(spec.weights_of)
    dials = [file for file, one in study.dials.items() if cells & set(one.weights_of)]
    return read_by_look(study, file, spec) | {"dials": dials}
