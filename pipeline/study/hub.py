"""Section ``hub``: which cells go into a folder for the Hugging Face hub."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from snakemake.io import ancient

from pipeline.study.cell import Cell
from pipeline.study.grid import is_foreign
from pipeline.study.outputs import WEIGHTS
from pipeline.study.sections import ONCE, CellNameError, HubRepository, Section

if TYPE_CHECKING:
    from pipeline.study.study import Study


class Hub(Section):
    """What a folder for the Hugging Face hub holds; `snakemake hub_folder` makes it."""

    cells: Annotated[list[str], Field(min_length=1), *ONCE] = ["*"]
    """Cells by name, as `python -m pipeline cells` prints them. In a name, * stands for any text
    and ? for any character; a name without them may be of a cell off the grid."""
    repo: HubRepository = "your-name/your-saes"
    """Repository that the folder is for, owner/name; the model card shows how to load from it."""
    license: str = ""
    """Licence of the autoencoders in the hub's spelling, such as apache-2.0. Empty: none is stated.
    The terms of language models and text are listed in any case."""


SWEEP_FIGURE = "figure_r2"


def hub(study: Study) -> Hub:
    """The section, or its defaults."""
    return study.config.hub or Hub()


def hub_cells(study: Study) -> list[Cell]:
    """The cells of the folder for the hub; a pattern means those that were trained here.

    Raises:
        CellNameError: A name of section hub that no cell has, or that no cell could have.
    """
    found: set[Cell] = set()
    for name in hub(study).cells:
        if not set("*?[") & set(name):
            found.add(study.cell_named(name))
            continue
        own = (cell for cell in study.cells if not is_foreign(cell))
        matching = {cell for cell in own if fnmatchcase(cell.path, name)}
        if not matching:
            raise CellNameError(
                f"hub.cells: no cell of study {study.config.study} is called {name!r}; "
                "`python -m pipeline cells` lists them"
            )
        found |= matching
    return sorted(found)


def hub_figure(study: Study) -> str | None:
    """The figure of the sweeps; None where the study has none."""
    recipes = sorted({cell.recipe for cell in study.cells})
    recipe = f"@{recipes[0]}" if len(recipes) > 1 and recipes[0] else ""
    return study.figure(SWEEP_FIGURE + recipe) if recipes else None


def read_by_hub(study: Study) -> dict[str, Any]:
    """What the job that makes the folder for the hub reads, by the name of the input.

    The figure shows every cell of the study, so it belongs to a folder that has them all.
    """
    cells = hub_cells(study)
    figure = hub_figure(study) if set(study.cells) <= set(cells) else None
    models = sorted({cell.model for cell in cells})
    return {
        "metrics": [study.metrics(cell) for cell in cells],
        "weights": [study.cell_file(cell, WEIGHTS) for cell in cells],
        "assets": [ancient(study.asset(model)) for model in models],
        "documents": ancient(study.documents),
        **({"figure": figure} if figure else {}),
    }
