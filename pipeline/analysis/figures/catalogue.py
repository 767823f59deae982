"""Every figure: the module whose function of its name draws it, and what it is drawn from.

The docstring of the function is the title, a line, and the caption.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.study.outputs import (
    ABSORPTION,
    CALIBRATION,
    COMPARISON,
    CURVES,
    DIAL,
    DIAL_CURVES,
    EFFECTS,
    MEASURED,
    POINTS,
    PROBING,
)
from pipeline.study.scope import Scope

VARIANTS = "_variants"
"""Ends the name of the same figure with every sweep of the grid."""
FEW_RECIPES = 3
"""Up to here a study draws every figure under each recipe."""
OF_MANY = ("figure_r2", "figure_2")
"""What it draws where there are more, under each recipe but the first with a sweep of several
points; the rest on demand."""


@dataclass(frozen=True)
class Entry:
    """What is known of a figure without drawing it."""

    module: str
    tables: tuple[str, ...] = ()
    """What it draws."""
    protocol: str = ""
    """The synthetic protocol whose table it draws."""
    measures: tuple[str, ...] = ()
    """Measures that it draws besides."""
    note: str = ""
    """Ends its caption."""


EACH_POINT = (
    "Each point is one λ, averaged over seeds, or one seed where they lie far apart; bars, where "
    "there are several seeds, are ± one standard error on both axes. A cross marks a collapsed "
    "point. Lines only join points."
)
SHADED = "Within the shaded range both sweeps have points, and only there are they compared."
EACH_SETTING = (
    "Each point is one comparison of half-width SA-GSAE with full-width Gated: one model and "
    "hookpoint, one recipe, one pair of widths. Points are sorted by what is measured. The strip "
    "below has a row per level of a factor, and a mark under each point that has it. Marks that "
    "gather at one end mean that the level decides; marks spread over the whole row mean that it "
    "does not. A cross marks a point with collapsed cells. Bars, where there are several seeds, "
    "are ± one standard error over seeds. Points far outside the others stand at the edge, as "
    "triangles that point outward, or under their cross."
)
AT_ONE_LAMBDA = "Means over seeds, ± one standard error, at the λ whose L0 is nearest the truth."
RUNS = (MEASURED.format(kind="synthetic"),)

_sweep = Entry("sweep", (POINTS, COMPARISON), note=f"{EACH_POINT} {SHADED}")
SWEEPS = {
    "figure_2": _sweep,
    "figure_3": _sweep,
    "figure_11": Entry("calibration", (CALIBRATION, POINTS)),
    "figure_r2": _sweep,
}
"""Of the main comparison, numbered as in the paper, which has none of R2 against L0."""
SETTINGS = {
    name: Entry("specification", (EFFECTS,), note=EACH_SETTING)
    for name in ("figure_spec_gap", "figure_spec_dead", "figure_spec_reduction")
}
"""Of a study that compares under several settings. They show all of them."""
FAMILIES = {"figure_frontiers": Entry("frontiers", (POINTS,), note=EACH_POINT)}
"""Of a study whose variants are of several families. They show every sweep."""
DIALS = {name: Entry("dial", (DIAL, DIAL_CURVES)) for name in ("figure_dial", "figure_dial_kl")}
"""Of a study that steers with latents."""
PROBES = {
    "figure_probing": Entry("probing", (PROBING, POINTS)),
    "figure_absorption": Entry("probing", (ABSORPTION, POINTS)),
}
"""Of a study that probes codes."""
TRAININGS = {"figure_curves": Entry("curves", (POINTS,), measures=(CURVES,))}
"""Of how cells trained."""
SYNTHETIC = {
    "figure_1": Entry("activation"),
    "figure_4": Entry("protocols", protocol="polarity_dial"),
    "figure_5": Entry("protocols", protocol="anomalies", note=AT_ONE_LAMBDA),
    "figure_6": Entry("geometry", protocol="geometry", measures=RUNS),
    "figure_7": Entry("geometry", protocol="consolidation", measures=RUNS),
    "figure_8": Entry("protocols", protocol="consolidation", note=AT_ONE_LAMBDA),
    "figure_9": Entry("protocols", protocol="consolidation", note=AT_ONE_LAMBDA),
    "figure_10": Entry("protocols", protocol="robustness", note=AT_ONE_LAMBDA),
}
"""Figures that need no language model."""
FIGURES = SWEEPS | SETTINGS | FAMILIES | DIALS | PROBES | TRAININGS | SYNTHETIC
PATTERN = f"({'|'.join(FIGURES)})({VARIANTS})?(@[A-Za-z0-9_-]+)?"
"""A name: a figure, ``_variants`` for every sweep of it, and the recipe other than the first."""


def parts(name: str) -> tuple[str, bool, str]:
    """Of a name: the figure, whether it shows every sweep, and its recipe."""
    name, _, recipe = name.partition("@")
    return name.removesuffix(VARIANTS), name.endswith(VARIANTS), recipe


def entry_of(name: str) -> Entry:
    """The entry of a figure by any of its names."""
    return FIGURES[parts(name)[0]]


def drawn_from(figure: str, out: str, measures: str) -> list[str]:
    """The tables below ``out`` and the measures that a figure draws, and no others."""
    entry = entry_of(figure)
    name = entry.protocol
    protocol = [str(Path(out, "synthetic", name).with_suffix(".csv"))] if name else []
    tables = [str(Path(out, "tables", table)) for table in entry.tables]
    return [*tables, *protocol, *(str(Path(measures, part)) for part in entry.measures)]


def title_and_caption(name: str) -> tuple[str, str]:
    """What readers are told of a figure."""
    figure, every, recipe = parts(name)
    entry = FIGURES[figure]
    title, _, caption = _docstrings(entry.module)[figure].partition("\n")
    more = ["Every sweep of the grid; heavier lines are those of the main comparison."] * every
    title = title.strip().removesuffix(".") + ", every variant" * every
    title += f", recipe {recipe}" * bool(recipe)
    return title, " ".join([*caption.split(), *filter(None, [entry.note, *more])])


@cache
def _docstrings(module: str) -> dict[str, str]:
    """Of the functions of a module, which is not imported: drawing needs a second to start."""
    text = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    return {one.name: ast.get_docstring(one) or one.name for one in functions}


def figures_of(scope: Scope) -> tuple[str, ...]:
    """The figures that a study draws by itself: the main comparison, all sweeps where there are
    others, each recipe apart; those of settings, families, steering, probes and training."""
    found = [*SETTINGS] if scope.has_effects else []
    found += _of_sweeps(scope)
    if scope.several_families:
        found += marked(FAMILIES, scope.trained, scope)
    found += marked(DIALS, _recipes(scope.dial), scope)
    found += marked(PROBES, _recipes(scope.probe), scope)
    curves = {cell.recipe for cell in scope.drawn}
    own = marked(TRAININGS, [recipe for recipe in scope.trained if recipe in curves], scope)
    return *found, *(own[:1] if len(scope.trained) > FEW_RECIPES else own)


def marked(names: Iterable[str], recipes: Iterable[str], scope: Scope) -> list[str]:
    """The names of some figures under each of some recipes."""
    figures = list(names)
    return [
        name + (f"@{recipe}" if scope.several and recipe else "")
        for recipe in dict.fromkeys(recipes)
        for name in figures
    ]


def _of_sweeps(scope: Scope) -> list[str]:
    """The figures of sweeps, under each recipe. A recipe under which neither side of the main
    comparison is trained has only those of all sweeps."""
    main = {cell for cell in scope.grid if scope.in_main(cell.model, cell.variant, cell.width)}
    others = [VARIANTS] * (bool(scope.comparisons) and len(main) < len(scope.grid))
    whole = [name + suffix for suffix in ("", *others) for name in SWEEPS]
    first, *more = sorted({cell.recipe for cell in scope.grid}) or [""]
    fewer = whole
    if len(more) >= FEW_RECIPES:
        fewer = [name + suffix for suffix in others or [""] for name in OF_MANY]
        points = Counter(sweep for sweep, *_ in {(one.sweep, one.knob) for one in scope.grid})
        lines = {sweep.recipe for sweep, count in points.items() if count > 1}
        more = [recipe for recipe in more if recipe in lines]
    compared = {cell.recipe for cell in main}
    found = marked(whole, [first], scope)
    for recipe in more:
        every = [name for name in fewer if name.endswith(VARIANTS)]
        found += marked(fewer if recipe in compared else every, [recipe], scope)
    return found


def _recipes(jobs: Iterable[str]) -> list[str]:
    """The recipes of jobs such as "small/attn@zero/seed0"."""
    return [job.split("/")[-2].partition("@")[2] for job in jobs]
