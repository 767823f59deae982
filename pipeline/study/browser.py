"""Section ``browser``: pages on which latents can be looked at, and what their jobs read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from pipeline.jobs.json_files import digest
from pipeline.study.cell import Cell, by_sweep
from pipeline.study.grid import Comparison
from pipeline.study.inputs import read_by_look
from pipeline.study.looks import Restricted, SweptSpec
from pipeline.study.sections import Count

if TYPE_CHECKING:
    from pipeline.study.study import Study


class Browser(Restricted):
    """The latent browser: `snakemake browser`.

    Without a list of cells it shows both sides of the first comparison at every model and
    hookpoint: of each sweep the cell at the lambda whose L0 is nearest the first matched L0, with
    the lowest seed."""

    top: Count = 10
    """Contexts of each sign that are shown of a latent, those in which it fires most strongly."""
    cells: Annotated[list[str], Field(min_length=1)] | None = None
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
    found = _listed(study, section.cells) if section.cells else _compared(study)
    return {study.browser_cell(shown): spec for shown, spec in found}


def _spec(study: Study, seed: int, shown: list[Cell], **fields: Any) -> BrowserSpec:
    model = shown[0].model
    section = study.config.browser
    assert section is not None
    store = digest(study.dump_spec(model, "heldout"))
    return BrowserSpec(
        model=model,
        seed=seed,
        level=study.compared.matched_levels[0],
        shown=shown,
        store=store,
        dtype=study.model_named(model).dtype,
        top=section.top,
        **fields,
    )


def _compared(study: Study) -> Iterator[tuple[str, BrowserSpec]]:
    """Both sides of the first comparison wherever the grid has them."""
    section, compared = study.config.browser, study.compared
    assert section is not None
    for item in compared.comparisons[:1]:
        for place in section.places(compared):
            sides = _sides(study, item, *place)
            seeds = [cell.seed for side in sides for cell in side]
            for shown, rival in (sides, sides[::-1]):
                if shown:
                    seed = min(seeds)
                    name = _without_lambda(shown[0], seed)
                    yield name, _spec(study, seed, shown, rival=rival, by_level=True)


def _sides(
    study: Study, item: Comparison, recipe: str, model: str, hookpoint: str
) -> tuple[list[Cell], list[Cell]]:
    """The cells of candidate and baseline at one place, under one recipe."""
    sweeps = by_sweep(study.cells)
    keys = study.compared.sides(item, recipe, model, hookpoint)
    candidate, baseline = (sweeps.get(key, []) for key in keys)
    return candidate, baseline


def _without_lambda(cell: Cell, seed: int) -> str:
    folder, _, _ = cell.path.rpartition("/")
    return f"{folder}/w{cell.width}_seed{seed}"


def _listed(study: Study, names: list[str]) -> Iterator[tuple[str, BrowserSpec]]:
    """Cells by name, each beside the other side of the first comparison."""
    for name in names:
        cell = study.cell_named(name)
        rival: list[Cell] = []
        for item in study.compared.comparisons[:1]:
            candidate, baseline = _sides(study, item, cell.recipe, cell.model, cell.hookpoint)
            same = cell.variant, cell.width
            rival = candidate if same in {(c.variant, c.width) for c in baseline} else baseline
        yield name, _spec(study, cell.seed, [cell], rival=rival, by_level=False)


def read_by_browser(study: Study, shown: str) -> dict[str, Any]:
    """What the job of a shown cell reads, by the name of the input.

    Raises:
        CellNameError: the browser does not show it.
    """
    spec: BrowserSpec = study.look_spec(study.browser_cell(shown))
    cells = set(spec.weights_of)
    dials = [file for file, one in study.dials.items() if cells & set(one.weights_of)]
    return read_by_look(study, spec) | {"dials": dials}
