"""Where a study steers with latents: one job for each recipe, place, comparison and seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pipeline.study.cell import Cell, by_sweep
from pipeline.study.config.dial import Dial
from pipeline.study.config.study_config import StudyConfig
from pipeline.study.restrictions import is_asked, unknown_names
from pipeline.study.scope import Scope
from pipeline.study.specs import DialSpec


def dial_specs(
    dial: Dial, cells: Iterable[Cell], spec: Scope, losses: Mapping[str, str]
) -> Iterator[DialSpec]:
    """The jobs of a study, in the order of its tables: those of a place stand together.

    There are none where it compares nothing.

    Args:
        dial: what is asked for.
        cells: the grid.
        spec: which cells stand under which recipe, and what is compared.
        losses: model -> digest of its BaselineSpec.
    """
    sweeps = by_sweep(cells)
    steering = spec.comparisons[: dial.comparisons if dial.latents else 0]
    for recipe, (model, hookpoint) in _places(dial, spec):
        for number, item in enumerate(steering, start=1):
            keys = spec.sides(item, recipe, model, hookpoint)
            if all(key.recipe != recipe for key in keys):
                continue  # these cells are steered with under their own recipe
            candidate, baseline = (sweeps.get(key, []) for key in keys)
            for seed in sorted({cell.seed for cell in candidate})[: dial.seeds]:
                yield DialSpec(
                    recipe=recipe,
                    model=model,
                    hookpoint=hookpoint,
                    seed=seed,
                    comparison=number,
                    candidate=_with_seed(candidate, seed),
                    baseline=_with_seed(baseline, seed),
                    level=next(iter(item.matched_l0), spec.matched_levels[0]),
                    losses=losses[model],
                    dial=dial,
                )


def _places(dial: Dial, spec: Scope) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each recipe and (model, hookpoint) that is asked for."""
    for recipe, places in spec.trained.items():
        for model, hookpoint in places:
            if is_asked(dial, recipe, model, hookpoint):
                yield recipe, (model, hookpoint)


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
