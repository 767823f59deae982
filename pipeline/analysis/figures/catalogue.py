"""Every figure: the module whose function of its name draws it, and what it is drawn from.

The docstring of the function is the title, a line, and the caption.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.study import outputs
from pipeline.study.outputs import POINTS
from pipeline.study.scope import Scope

# Ends the name of the same figure with every sweep of the grid.
VARIANTS = "_variants"
# Up to here a study draws every figure under each recipe.
FEW_RECIPES = 3
# What it draws where there are more, under each recipe but the first with a sweep of several
# points; the rest on demand.
OF_MANY = ("figure_r2", "figure_2")


@dataclass(frozen=True)
class Entry:
    """What is known of a figure without drawing it."""

    module: str
    # What it draws.
    tables: tuple[str, ...] = ()
    # The synthetic protocol whose table it draws.
    protocol: str = ""
    # Measures that it draws besides.
    measures: tuple[str, ...] = ()


RUNS = (outputs.MEASURED.format(kind="synthetic"),)
_sweep = Entry("sweep", (POINTS, outputs.COMPARISON))
# Of the main comparison, numbered as in the paper, which has none of R2 against L0.
SWEEPS = {
    "figure_r2": _sweep,
    "figure_2": _sweep,
    "figure_3": _sweep,
    "figure_11": Entry("calibration", (outputs.CALIBRATION, POINTS)),
}
# Of a study that compares under several settings. They show all of them.
SETTINGS = dict.fromkeys(
    ("figure_spec_gap", "figure_spec_dead", "figure_spec_reduction"),
    Entry("specification", (outputs.EFFECTS,)),
)
# Of a study whose sweeps are all ranked. They show every sweep.
FAMILIES = {"figure_frontiers": Entry("frontiers", (POINTS,))}
# Of a study with two-sided forms beside several widths of their one-sided ones.
RATES = {
    "figure_sign_rates": Entry("sign_rates", (outputs.SIGN_RATES,)),
    "figure_widths": Entry("sign_rates", (outputs.RANKING,)),
}
# Of a study that steers with latents.
DIALS = dict.fromkeys(("figure_dial", "figure_dial_kl"), Entry("dial", outputs.DIAL_TABLES))
# Of a study that probes codes.
PROBES = {
    "figure_probing": Entry("probing", (outputs.PROBING, POINTS)),
    "figure_absorption": Entry("probing", (outputs.ABSORPTION, POINTS)),
}
# Of how cells trained.
TRAININGS = {"figure_curves": Entry("curves", (POINTS,), measures=(outputs.CURVES,))}
# Figures that need no language model.
SYNTHETIC = {
    "figure_1": Entry("activation"),
    "figure_4": Entry("protocols", protocol="polarity_dial"),
    "figure_5": Entry("protocols", protocol="anomalies"),
    "figure_6": Entry("geometry", protocol="geometry", measures=RUNS),
    "figure_7": Entry("geometry", protocol="consolidation", measures=RUNS),
    "figure_8": Entry("protocols", protocol="consolidation"),
    "figure_9": Entry("protocols", protocol="consolidation"),
    "figure_10": Entry("protocols", protocol="robustness"),
}
# The others show one recipe.
OF_ALL_RECIPES = {*SETTINGS, *SYNTHETIC, "figure_sign_rates"}
FIGURES = SWEEPS | SETTINGS | FAMILIES | RATES | DIALS | PROBES | TRAININGS | SYNTHETIC
# A name: a figure, ``_variants`` for every sweep of it, and the recipe other than the first.
PATTERN = f"({'|'.join(FIGURES)})({VARIANTS})?(@[A-Za-z0-9_-]+)?"


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
    found = [Path(out, "tables", table) for table in entry.tables]
    if entry.protocol:
        found.append(Path(out, outputs.SYNTHETIC, entry.protocol).with_suffix(".csv"))
    return [str(path) for path in (*found, *(Path(measures, part) for part in entry.measures))]


def title_and_caption(name: str) -> tuple[str, str]:
    """What readers are told of a figure."""
    figure, every, recipe = parts(name)
    title, _, caption = _docstring(FIGURES[figure].module, figure).partition("\n")
    title = title.removesuffix(".") + (", every variant" if every else "")
    return title + (f", recipe {recipe}" if recipe else ""), " ".join(caption.split())


@cache
def _docstring(module: str, function: str) -> str:
    """Of a function in a module, which is not imported: drawing needs a second to start."""
    tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    (own,) = (node for node in functions if node.name == function)
    return ast.get_docstring(own) or ""


def figures_of(scope: Scope) -> tuple[str, ...]:
    """The figures that a study draws by itself, in the order of the report: those of settings and
    families, the main comparison, all sweeps where there are others, each recipe apart; those of
    steering, probes and training."""
    found = [*SETTINGS] if scope.has_effects else []
    if scope.ranks_all:
        found += RATES if scope.has_sign_rates else ()
        found += marked(FAMILIES, scope.trained, scope)
    found += _of_sweeps(scope)
    found += marked(DIALS, _recipes(scope.jobs("dial")), scope)
    found += marked(PROBES, _recipes(scope.jobs("probe")), scope)
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
    every = scope.comparisons and len(main) < len(scope.grid)
    endings: tuple[str, ...] = ("", VARIANTS) if every else ("",)
    found = []
    for number, recipe in enumerate(scope.trained):
        names, ends = tuple(SWEEPS), endings
        if number and len(scope.trained) > FEW_RECIPES:
            names, ends = OF_MANY if _has_a_line(scope, recipe) else (), endings[-1:]
        if number and recipe not in {cell.recipe for cell in main}:
            ends = tuple(end for end in ends if end)
        found += marked([name + end for end in ends for name in names], [recipe], scope)
    return found


def _has_a_line(scope: Scope, recipe: str) -> bool:
    """Whether some sweep of a recipe has several points."""
    points = {(cell.sweep, cell.knob) for cell in scope.grid if cell.recipe == recipe}
    return len(points) > len({sweep for sweep, _ in points})


def _recipes(jobs: Iterable[str]) -> list[str]:
    """The recipes of jobs such as "small/attn@zero/seed0"."""
    return [job.split("/")[-2].partition("@")[2] for job in jobs]
