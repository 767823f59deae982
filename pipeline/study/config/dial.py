"""The ``dial`` section of a configuration: steering a language model with single latents."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.study.config.sections import Ascending, Count, Names, Natural, Positive, Section


class Steering(Section):
    """What one job of the dial does."""

    latents: Natural = 16
    """Latents that fire with both signs, those that contribute most. 0: nothing is steered."""
    pairs: Natural = 4
    """Opposite pairs of latents of the baseline, those of the most negative cosine."""
    random: Count = 16
    """Random directions, which latents are measured against."""
    alphas: Annotated[list[Positive], Field(min_length=1), Ascending] = [0.125, 0.25, 0.5, 1.0]
    """Sizes of a step, ascending. Each is made in both senses. 1 is the root mean square distance
    of the held-out activations from their mean."""
    contexts: Annotated[int, Field(ge=4, le=2**53)] = 32
    """Held-out contexts, at most evaluation.lr_contexts. On half of them tokens are chosen, and the
    others are measured."""
    positions: Count = 16
    """Positions of a context at which predictions are read."""
    tokens: Count = 10
    """Tokens that each sense of a direction promotes most, whose logits are compared."""


class Dial(Steering):
    """The causal dial: `snakemake dial`.

    It steers with latents of a comparison's candidate, with opposite pairs of latents of its
    baseline, and along random directions. Of each sweep it takes the cell at the lambda, or k,
    whose L0 is nearest the first matched L0."""

    comparisons: Count = 1
    """Comparisons whose sides steer, the first ones of the list. Figures and claims are of the
    first."""

    seeds: Count = 1
    """Seeds of a sweep whose cells steer, the lowest first."""
    models: Names = None
    """Restrict to these models; all when absent."""
    hookpoints: Names = None
    """Restrict to these hookpoints; all when absent."""
    recipes: Names = None
    """Restrict to these recipes, of which ``default`` is section training; all when absent."""
