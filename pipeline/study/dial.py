"""Section ``dial``: steering a language model with single latents; its jobs and what they leave."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Literal

from pydantic import Field

from pipeline.study.cell import Cell, by_sweep
from pipeline.study.looks import Look, LookRun, PlaceSpec, SweptSpec, Upstream, UsedCell
from pipeline.study.metrics import Finite, NonNegative, Share
from pipeline.study.scope import Scope
from pipeline.study.sections import Ascending, Count, Natural, Positive, Section


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


class DialSpec(SweptSpec, PlaceSpec):
    """What steering with the latents of one candidate and its baseline at one place depends on."""

    reads = ("heldout", "baselines", "asset")
    revision: int = 1
    comparison: Annotated[int, Field(exclude_if=lambda number: number == 1)] = 1
    """Its number in the configuration, from 1."""
    candidate: list[Cell]
    """Cells of a sweep, all seeds of each lambda, from which one is taken by its L0."""
    baseline: list[Cell]
    """Cells of the baseline's sweep; empty where the grid has none here."""
    losses: str
    """Digest of the BaselineSpec, whose contexts are used."""
    dial: Steering

    @property
    def sides(self) -> list[list[Cell]]:
        return [self.candidate, self.baseline]


# Kinds of direction: one signed latent, two opposite ones, a random one.
LATENT, PAIR, RANDOM = "latent", "pair", "random"


class Direction(Section):
    """What is steered along, and what that does at each size of the run."""

    kind: Literal["latent", "pair", "random"]
    rank: Count
    """1 for the latent that contributes most, and for the pair of the most negative cosine."""
    latents: Annotated[list[Natural], Field(max_length=2)]
    """Numbers of the latents: one; of a pair first the one that is added at positive sizes."""
    cosine: Finite | None = None
    """Of the decoder rows of a pair."""
    contribution: Share | None = None
    """Share of the sum of z^2 over all latents and held-out tokens that is theirs."""
    own_sizes: Annotated[list[NonNegative], Field(max_length=2)] = []
    """Root mean square of z over the tokens on which a latent fires, in the unit of the sizes: of
    its positive and of its negative side, or of the two latents of a pair."""
    kl: list[Finite]
    """KL(untouched || steered) of the next-token distribution, nats."""
    effect: list[Finite]
    """Change of the logit difference, nats."""
    effect_se: list[NonNegative]
    """Its standard error over contexts."""
    promoted: list[list[str]]
    """The tokens that positive and that negative sizes promote most, in this order."""


class DialRun(LookRun):
    """One recipe, place, seed and comparison."""

    kind = "dial"
    seed: Natural
    comparison: Count = 1
    """Its number in the configuration, from 1."""
    candidate: UsedCell
    baseline: UsedCell | None
    unit: NonNegative
    """What size 1 is in the activations' own units."""
    sizes: list[Finite]
    """Ascending, symmetric about 0, which is in the middle."""
    contexts: Count
    """Contexts that were measured; as many or one less chose the tokens."""
    positions: Count
    """Positions that were read in them."""
    directions: list[Direction]

    @property
    def used(self) -> list[UsedCell]:
        return [side for side in (self.candidate, self.baseline) if side is not None]


class Dial(Steering, Look):
    """The causal dial: `snakemake dial`.

    It steers with latents of a comparison's candidate, with opposite pairs of latents of its
    baseline, and along random directions. Of each sweep it takes the cell at the lambda, or k,
    whose L0 is nearest the first matched L0."""

    RUN = DialRun
    THREADS = 16
    comparisons: Count = 1
    """Comparisons whose sides steer, the first ones of the list. Figures and claims are of the
    first."""
    seeds: Count = 1
    """Seeds of a sweep whose cells steer, the lowest first."""

    def specs(self, scope: Scope, upstream: Upstream) -> dict[str, DialSpec]:
        """Name -> specification of each job; those of a place stand together. Without latents there
        are none."""
        specs: dict[str, DialSpec] = {}
        sweeps = by_sweep(scope.grid)
        for place, item in product(self.places(scope), scope.comparisons[: self.comparisons]):
            keys = scope.sides(item, *place)
            if not self.latents or all(key.recipe != place.recipe for key in keys):
                continue  # these cells are steered with under their own recipe
            candidate, baseline = (sweeps.get(key, []) for key in keys)
            number = scope.comparisons.index(item) + 1
            for seed in sorted({cell.seed for cell in candidate})[: self.seeds]:
                spec = DialSpec(
                    **place._asdict(),
                    seed=seed,
                    comparison=number,
                    candidate=_with_seed(candidate, seed),
                    baseline=_with_seed(baseline, seed),
                    level=next(iter(item.matched_l0), scope.matched_levels[0]),
                    losses=upstream.losses[place.model],
                    dial=self,
                )
                of = "" if number == 1 else f"_comparison{number}"
                specs[f"{spec.folder}/seed{seed}{of}"] = spec
        return specs


def _with_seed(cells: list[Cell], seed: int) -> list[Cell]:
    """The cells at lambdas or ks that have a seed; all where none has it."""
    knobs = {cell.knob for cell in cells if cell.seed == seed}
    return [cell for cell in cells if cell.knob in knobs or not knobs]
