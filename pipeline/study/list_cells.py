"""The cells of a study, one name per line, for ``snakemake`` and for scripts.

python -m pipeline cells --configfile FILE.yaml --variant gated --lam '0.1*' --targets
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.study.cell import Cell
from pipeline.study.made_for import is_made_for
from pipeline.study.sections import CellNameError, lambda_tag
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG
from pipeline.study.training import DEFAULT_RECIPE

# A target that makes nothing: without one, Snakemake makes the whole study.
NOTHING = "nothing"


def axes(cell: Cell) -> tuple[str, ...]:
    """What a cell is on every axis of the grid, as its name spells it; empty for lambda or k."""
    names = cell.model, cell.hookpoint, cell.variant, cell.recipe or DEFAULT_RECIPE
    lam = "" if cell.lam is None else lambda_tag(cell.lam)
    k = "" if cell.k is None else str(cell.k)
    return (*names, str(cell.width), lam, k, str(cell.seed))


def matching(study: Study, *patterns: str) -> Iterator[Cell]:
    """The cells that a pattern for each of ``axes`` lets pass."""
    for cell in study.cells:
        if all(map(fnmatchcase, axes(cell), patterns)):
            yield cell


def main(
    configfile: Path = DEFAULT_CONFIG,
    model: str = "*",
    hookpoint: str = "*",
    variant: str = "*",
    recipe: str = "*",
    width: str = "*",
    lam: str = "*",
    k: str = "*",
    seed: str = "*",
    targets: bool = False,
    missing: bool = False,
    config: Sequence[str] = (),
) -> None:
    """Print the cells.

    Args:
        configfile: configuration of the study (default: the local study)
        config: KEY=VALUE, as Snakemake's --config
        model: only cells of this model; * and ? are wildcards
        hookpoint: only cells of this hookpoint; * and ? are wildcards
        variant: only cells of this variant; * and ? are wildcards
        recipe: only cells of this recipe; * and ? are wildcards
        width: only cells with so many latents; * and ? are wildcards
        lam: only cells with this lambda, spelled as in names; * and ? are wildcards
        k: only cells with so many active latents per token; * and ? are wildcards
        seed: only cells with this seed; * and ? are wildcards
        targets: print the metrics file of each, a Snakemake target
        missing: only cells without metrics of their present configuration
    """
    study = Study.load(configfile, config)
    asked = list(matching(study, model, hookpoint, variant, recipe, width, lam, k, seed))
    wanted = [
        cell
        for cell in asked
        if not (missing and is_made_for(study.metrics(cell), study.cell_made_for(cell)))
    ]
    for cell in wanted:
        print(study.metrics(cell) if targets else cell.path)
    if targets and not wanted:
        print(NOTHING)
    if not asked:
        raise CellNameError("no cell of this study has such a name: ask without it to see all")
