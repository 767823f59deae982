"""The cells of a study, one name per line, for ``snakemake`` and for scripts.

python -m pipeline cells --configfile FILE.yaml --variant gated --targets
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.config.study_config import DEFAULT_CONFIG
from pipeline.study.study import Study


def main(
    configfile: Path = DEFAULT_CONFIG,
    model: str = "*",
    hookpoint: str = "*",
    variant: str = "*",
    recipe: str = "*",
    targets: bool = False,
    missing: bool = False,
) -> None:
    """Print the cells.

    Args:
        configfile: configuration of the study (default: the local study)
        model: only cells of this model; * and ? are wildcards
        hookpoint: only cells of this hookpoint; * and ? are wildcards
        variant: only cells of this variant; * and ? are wildcards
        recipe: only cells of this recipe; * and ? are wildcards
        targets: print the metrics file of each, a Snakemake target
        missing: only cells whose metrics file is not there
    """
    study, patterns = Study.load(configfile), (model, hookpoint, variant, recipe)
    for cell in study.cells:
        names = cell.model, cell.hookpoint, cell.variant, cell.recipe or DEFAULT_RECIPE
        unwanted = missing and Path(study.metrics(cell)).exists()
        if all(map(fnmatchcase, names, patterns)) and not unwanted:
            print(study.metrics(cell) if targets else cell.path)
