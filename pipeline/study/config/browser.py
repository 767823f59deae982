"""The ``browser`` section of a configuration: pages on which latents can be looked at."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.study.config.sections import Count, Names, Natural, Section, Words


class Shown(Section):
    """What is shown of each latent."""

    top: Count = 10
    """Contexts of each sign, those in which the latent fires most strongly."""
    samples: Natural = 2
    """Firings drawn from each interval of each sign; there are five to eight intervals of equal
    width."""
    window: Natural = 20
    """Tokens shown on either side of a firing."""
    promoted: Count = 10
    """Tokens that each sign promotes."""


class Browser(Shown):
    """The latent browser: `snakemake browser`.

    Without a list of cells it shows both sides of the first comparison at every model and
    hookpoint: of each sweep the cell at the lambda whose L0 is nearest the first matched L0, with
    the lowest seed."""

    cells: Annotated[list[Words], Field(min_length=1)] | None = None
    """Show these cells, by their names under ``cells/``, on the grid or off it."""
    models: Names = None
    """Restrict to these models; all when absent. Not beside cells."""
    hookpoints: Names = None
    """Restrict to these hookpoints; all when absent. Not beside cells."""
    recipes: Names = None
    """Restrict to these recipes, of which ``default`` is section training; all when absent. Not
    beside cells."""
