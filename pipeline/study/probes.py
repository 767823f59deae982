"""What a study probes: one job for each recipe, place and seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pipeline.study.cell import Cell, by_sweep
from pipeline.study.config.probe import Probe, Probing
from pipeline.study.config.study_config import StudyConfig
from pipeline.study.restrictions import is_asked, unknown_names
from pipeline.study.scope import Scope
from pipeline.study.specs import ProbeSpec

LETTER, SOURCE = "letter", "source"
FIELDS = set(Probing.model_fields)


def probe_specs(
    probe: Probe, cells: Iterable[Cell], spec: Scope, stores: Mapping[str, str]
) -> Iterator[ProbeSpec]:
    """The jobs of a study, in the order of its tables.

    Args:
        probe: what is asked for.
        cells: the grid.
        spec: recipes, models and hookpoints in their order.
        stores: model -> digest of the DumpSpec of its held-out store.
    """
    at: dict[tuple[str, str, str, int], list[Cell]] = {}
    for found in by_sweep(cells).values():
        seeds = sorted({cell.seed for cell in found})[: probe.seeds]
        for cell in found:
            if cell.seed in seeds:
                key = cell.recipe, cell.model, cell.hookpoint, cell.seed
                at.setdefault(key, []).append(cell)
    models, settings = list(spec.models), Probing.model_validate(probe.model_dump(include=FIELDS))
    order = {name: i for i, name in enumerate([*spec.hookpoints])}
    for recipe, model, hookpoint, seed in sorted(
        at, key=lambda key: (key[0], models.index(key[1]), order[key[2]], key[3])
    ):
        if is_asked(probe, recipe, model, hookpoint):
            yield ProbeSpec(
                recipe=recipe,
                model=model,
                hookpoint=hookpoint,
                seed=seed,
                cells=at[recipe, model, hookpoint, seed],
                store=stores[model],
                probe=settings,
            )


def probe_faults(config: StudyConfig) -> list[str]:
    """Faults of section probe that concern other sections, each with its path."""
    probe = config.probe
    if probe is None:
        return []
    faults = unknown_names(config, probe, "probe")
    if probe.labels == [SOURCE] and len(config.text.sources) < 2:
        faults.append(
            "probe.labels: source alone, and the text has one source: add another kind of label, "
            "or sources to section text"
        )
    for name in ("train_rows", "test_rows"):
        if getattr(probe, name) < 2 * probe.least_rows:
            faults.append(
                f"probe.{name}: {getattr(probe, name)} rows, half of them with the label, are "
                f"fewer than least_rows {probe.least_rows} asks for: raise it, or lower that"
            )
    return faults
