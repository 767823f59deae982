"""Section ``dial``: steering a language model with single latents; its jobs and what they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.study.cell import Cell, by_sweep
from pipeline.study.looks import LookRun, PlaceSpec, Restricted, SweptSpec, UsedCell, unknown_names
from pipeline.study.metrics import Finite, NonNegative, Share
from pipeline.study.sections import Ascending, Count, Natural, Positive, Section

if TYPE_CHECKING:
    from pipeline.study.study import Study
    from pipeline.study.study_config import StudyConfig


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


class Dial(Steering, Restricted):
    """The causal dial: `snakemake dial`.

    It steers with latents of a comparison's candidate, with opposite pairs of latents of its
    baseline, and along random directions. Of each sweep it takes the cell at the lambda, or k,
    whose L0 is nearest the first matched L0."""

    comparisons: Count = 1
    """Comparisons whose sides steer, the first ones of the list. Figures and claims are of the
    first."""
    seeds: Count = 1
    """Seeds of a sweep whose cells steer, the lowest first."""


class DialSpec(SweptSpec, PlaceSpec):
    """Of steering with the latents of one candidate and its baseline, at one place."""

    reads = ("heldout", "baselines", "asset")
    revision: int = 1
    comparison: Annotated[int, Field(exclude_if=lambda number: number == 1)] = 1
    """Its number in the configuration, from 1."""
    candidate: list[Cell]
    """Cells of a sweep, all seeds of each lambda, from which one is taken by its L0."""
    baseline: list[Cell]
    """The same of the baseline; empty where the grid has none here."""
    losses: str
    """Digest of the BaselineSpec, whose contexts are used."""
    dial: Steering

    @property
    def sides(self) -> list[list[Cell]]:
        return [self.candidate, self.baseline]


def dial_specs(study: Study) -> dict[str, DialSpec]:
    """File -> specification of each job that steers with latents, in the order of the tables: those
    of a place stand together. There are none unless section dial asks for them."""
    dial, compared, sweeps = study.config.dial, study.compared, by_sweep(study.cells)
    if dial is None or not dial.latents:
        return {}
    found = {}
    for place in dial.places(compared):
        for number, item in enumerate(compared.comparisons[: dial.comparisons], start=1):
            keys = compared.sides(item, *place)
            if all(key.recipe != place.recipe for key in keys):
                continue  # these cells are steered with under their own recipe
            candidate, baseline = (sweeps.get(key, []) for key in keys)
            of = "" if number == 1 else f"_comparison{number}"
            for seed in sorted({cell.seed for cell in candidate})[: dial.seeds]:
                spec = DialSpec(
                    **place._asdict(),
                    seed=seed,
                    comparison=number,
                    candidate=_with_seed(candidate, seed),
                    baseline=_with_seed(baseline, seed),
                    level=next(iter(item.matched_l0), compared.matched_levels[0]),
                    losses=study.losses[place.model],
                    dial=dial,
                )
                found[study.dial_run(spec.model, spec.place, seed, of)] = spec
    return found


def _with_seed(cells: list[Cell], seed: int) -> list[Cell]:
    """The cells at lambdas or ks that have a seed; all where none has it."""
    knobs = {cell.knob for cell in cells if cell.seed == seed}
    return [cell for cell in cells if cell.knob in knobs or not knobs]


def dial_faults(config: StudyConfig) -> list[str]:
    """Faults of section dial that concern other sections, each with its path."""
    dial = config.dial
    if dial is None:
        return []
    faults = unknown_names(config, dial, "dial")
    if dial.contexts > config.evaluation.lr_contexts:
        faults.append(
            f"dial.contexts: {dial.contexts} are more than evaluation.lr_contexts, which is "
            f"{config.evaluation.lr_contexts}: lower it, or raise that"
        )
    if dial.latents and not config.comparisons:
        faults.append(
            "comparisons: empty, and section dial steers with the two sides of the first one: list "
            "it, or leave dial out"
        )
    elif dial.latents and dial.comparisons > len(config.comparisons):
        faults.append(
            f"dial.comparisons: {dial.comparisons}, and comparisons has {len(config.comparisons)}: "
            "lower it, or list more"
        )
    return faults


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
