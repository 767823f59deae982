"""Which cells the latent browser shows, and what its jobs read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.jobs.json_files import digest, write_json
from pipeline.study.cell import Cell
from pipeline.study.config.browser import Shown
from pipeline.study.config.grid import Comparison
from pipeline.study.config.spelling import CellNameError
from pipeline.study.inputs import read_by_look
from pipeline.study.restrictions import is_asked
from pipeline.study.specs import BrowserSpec
from pipeline.study.study import Study


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


def browser_spec(study: Study, shown: str) -> BrowserSpec:
    """Of the job that makes a file; raises CellNameError that lists those there are."""
    specs, file = browser_specs(study), study.browser_cell(shown)
    if file not in specs:
        known = ", ".join(specs) or "none: see section browser of its configuration"
        raise CellNameError(f"{file}: the browser of this study does not show it; it has {known}")
    return specs[file]


def write_browser_specs(study: Study, folder: Path = Path()) -> None:
    """Write the specifications of those jobs. They name whole sweeps, too long for a command."""
    for spec in browser_specs(study).values():
        write_json(folder / browser_spec_file(study, spec), spec.model_dump())


def browser_spec_file(study: Study, spec: BrowserSpec) -> str:
    """Where a job finds its specification; the name changes with the content."""
    return study.shared_spec("browser", digest(spec))


def _spec(study: Study, seed: int, shown: list[Cell], **fields: Any) -> BrowserSpec:
    model = shown[0].model
    section = study.config.browser
    assert section is not None
    kept = Shown.model_validate(section.model_dump(include=set(Shown.model_fields)))
    store = digest(study.dump_spec(model, "heldout"))
    return BrowserSpec(
        model=model,
        seed=seed,
        level=study.compared.matched_levels[0],
        shown=shown,
        store=store,
        dtype=study.model_named(model).dtype,
        browser=kept,
        **fields,
    )


def _compared(study: Study) -> Iterator[tuple[str, BrowserSpec]]:
    """Both sides of the first comparison wherever the grid has them."""
    section, compared = study.config.browser, study.compared
    assert section is not None
    for item in compared.comparisons[:1]:
        for recipe, places in compared.trained.items():
            for model, hookpoint in places:
                if not is_asked(section, recipe, model, hookpoint):
                    continue
                sides = _sides(study, item, recipe, model, hookpoint)
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
    of = study.compared
    candidate, baseline = (
        [
            cell
            for cell in study.cells
            if (cell.model, cell.hookpoint, cell.variant, cell.recipe, cell.width)
            == (model, hookpoint, side.variant, of.home(recipe, side.variant), width)
        ]
        for side in (item.candidate, item.baseline)
        for width in [side.width_for(of.models[model])]
    )
    return candidate, baseline


def _without_lambda(cell: Cell, seed: int) -> str:
    folder, _, _ = cell.path.rpartition("/")
    return f"{folder}/w{cell.width}_seed{seed}"


def _listed(study: Study, names: list[str]) -> Iterator[tuple[str, BrowserSpec]]:
    """Cells by name, each beside the other side of the first comparison."""
    for name in names:
        cell = study.cell_named(**Cell.from_path(name).words)
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
    spec = browser_spec(study, shown)
    cells = set(spec.weights_of)
    dials = [file for file, one in study.dials.items() if cells & set(one.weights_of)]
    return read_by_look(study, spec) | {"dials": dials}
