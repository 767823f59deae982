"""Which cells go into a folder for the Hugging Face hub, and what its job reads."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from snakemake.io import ancient

from pipeline.study.cell import Cell
from pipeline.study.grid import is_foreign
from pipeline.study.outputs import WEIGHTS
from pipeline.study.sections import CellNameError
from pipeline.study.study import Study
from pipeline.study.study_config import Hub

SWEEP_FIGURE = "figure_r2"


def hub(study: Study) -> Hub:
    """The section, or its defaults."""
    return study.config.hub or Hub()


def hub_cells(study: Study) -> list[Cell]:
    """The cells of the folder for the hub; a pattern means those that were trained here
    on activations of a language model.

    Raises:
        CellNameError: A name of section hub that no cell has, or that no cell could have.
    """
    if not study.language_models:
        raise CellNameError(
            f"study {study.config.study} has no language model: the folder for the hub holds "
            "autoencoders of language models, as SAELens reads them"
        )
    trained = [
        cell for cell in study.cells if not is_foreign(cell) and not study.models[cell.model].drawn
    ]
    cells: set[Cell] = set()
    for name in hub(study).cells:
        if not set("*?[") & set(name):
            cell = study.cell_named(name)
            study.export_spec(cell)  # raises CellNameError without a language model
            cells.add(cell)
        elif matching := {cell for cell in trained if fnmatchcase(cell.path, name)}:
            cells |= matching
        else:
            raise CellNameError(
                f"hub.cells: no cell of study {study.config.study} is called {name!r}; "
                "`python -m pipeline cells` lists them"
            )
    return sorted(cells)


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
