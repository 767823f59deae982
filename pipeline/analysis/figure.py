"""Stage: draw figures, each with a CSV of the numbers that it shows.

    python -m pipeline figure --measures DIR --root DIR --out figures/figure_2.png

A figure is declared once, at the function that draws it:

    @figure([POINTS], when=under_each_recipe, title="Mine", caption="A line shows ...")
    def figure_mine(shown: Shown) -> Drawn: ...

Its name is that of the function. The rule that
draws it and its place in the report follow. Modules of ``pipeline.analysis.figures`` are searched.
A figure of this name shows the two sides of the first comparison; ``figure_2_variants`` shows every
sweep of the grid, ``figure_2@zero-bias`` a recipe other than the default one. A specification
curve, such as ``figure_spec_gap``, shows all recipes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.analysis.csv_files import write_csv
from pipeline.analysis.figures.shown import Drawn, Shown
from pipeline.analysis.table import Source, Table, declared
from pipeline.jobs.progress import say
from pipeline.study import outputs
from pipeline.study.measures import Measures
from pipeline.study.scope import Scope
from pipeline.study.training import DEFAULT_RECIPE
from sagsae.files import whole_file

PACKAGE = "pipeline.analysis.figures"
# Ends the name of the same figure with every sweep of the grid.
VARIANTS = "_variants"
# Up to here a study draws every figure under each recipe.
FEW_RECIPES = 3
STYLE = Path(__file__).with_name("figures") / "sagsae.mplstyle"
# Format -> what its file must not say of the day, or of the version.
UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


class Cut(NamedTuple):
    """What of a study a figure shows."""

    recipe: str = ""
    everything: bool = False
    # Whether the study has so many recipes that few figures are drawn of this one.
    few: bool = False

    def name(self, figure: str, scope: Scope) -> str:
        """The name of a figure that shows it."""
        recipe = f"@{self.recipe}" if scope.several and self.recipe else ""
        return figure + VARIANTS * self.everything + recipe


# Of a study: what its figures show, in the order of the report; nothing where it has none of them.
When = Callable[[Scope], Iterable[Cut]]


@dataclass(frozen=True, eq=False)
class Figure:
    """What is known of a figure without drawing it."""

    make: Callable[[Shown], Drawn]
    when: When
    # What it draws.
    tables: tuple[Table, ...]
    title: str
    # How to read it.
    caption: str = ""
    # Files of measures that it draws besides.
    measures: Sequence[str] = ()
    # Whether it shows all recipes.
    all_recipes: bool = False
    # Whether it is among the few that are drawn of each of many recipes.
    of_many: bool = False

    @property
    def name(self) -> str:
        return self.make.__name__


def figure(
    tables: Sequence[Table], when: When, *, title: str, **more: Any
) -> Callable[[Callable[[Shown], Drawn]], Figure]:
    """Make a function that draws into the ``Figure``; ``more`` are fields of it."""
    return lambda make: Figure(make, when, tuple(tables), title, **more)


def once(has: Callable[[Scope], bool]) -> When:
    """One figure of a study that has what it shows."""
    return lambda scope: [Cut()] if has(scope) else []


def no_language_model(scope: Scope) -> Iterable[Cut]:
    """Figures of synthetic data, which no study draws by itself but where it says so."""
    return ()


def under_each_recipe(scope: Scope) -> Iterable[Cut]:
    """Figures that a study draws under each of its recipes."""
    return map(Cut, scope.trained)


def of_jobs(kind: str) -> When:
    """Figures of what jobs of one kind found, under each recipe that has such jobs."""

    def when(scope: Scope) -> Iterable[Cut]:
        # of a name such as "small/attn@zero/seed0"
        recipes = (job.split("/")[-2].partition("@")[2] for job in scope.jobs(kind))
        return map(Cut, dict.fromkeys(recipes))

    return when


def of_sweeps(scope: Scope) -> Iterable[Cut]:
    """Figures of the main comparison and, where there are other sweeps, of all; under each recipe.

    A recipe under which neither side of the main comparison is trained has only those of all
    sweeps. Where there are many recipes, all but the first have few figures, and those only with a
    sweep of several points; the rest is drawn on demand.
    """
    main = {cell for cell in scope.grid if scope.in_main(cell.model, cell.variant, cell.width)}
    whole = [False, True] if scope.comparisons and len(main) < len(scope.grid) else [False]
    compared = {cell.recipe for cell in main}
    for number, recipe in enumerate(scope.trained):
        many = bool(number) and len(scope.trained) > FEW_RECIPES
        if many and not _has_a_line(scope, recipe):
            continue
        for everything in whole[-1:] if many else whole:
            if everything or not number or recipe in compared:
                yield Cut(recipe, everything, many)


def _has_a_line(scope: Scope, recipe: str) -> bool:
    """Whether some sweep of a recipe has several points."""
    points = {(cell.sweep, cell.knob) for cell in scope.grid if cell.recipe == recipe}
    return len(points) > len({sweep for sweep, _ in points})


@cache
def all_figures() -> dict[str, Figure]:
    """Every figure by name, in the order of the report."""
    return {figure.name: figure for figure in declared(PACKAGE, Figure)}


def synthetic_figures() -> list[str]:
    """Names of the figures that need no language model."""
    return [name for name, figure in all_figures().items() if figure.when is no_language_model]


def figures_of(scope: Scope) -> list[str]:
    """Names of the figures that a study draws by itself, in the order of the report. Neighbours
    that are drawn on the same occasions alternate."""
    names = []
    for when, group in groupby(all_figures().values(), lambda figure: figure.when):
        neighbours = list(group)
        for cut in when(scope):
            drawn = (figure for figure in neighbours if figure.of_many or not cut.few)
            names += [cut.name(figure.name, scope) for figure in drawn]
    return names


def figures_from(source: Source, scope: Scope) -> list[str]:
    """Names of the figures that a study draws of the tables of one source."""
    if source.folder == outputs.SYNTHETIC:
        return synthetic_figures()
    drawn = {name: parts(name)[0].tables for name in figures_of(scope)}
    return [name for name, tables in drawn.items() if source in {t.source for t in tables}]


def drawn_together(scope: Scope) -> dict[str, list[str]]:
    """Names of jobs, and of the figures that each draws of a study: those of tables of the same
    sources, and of the same measures besides. To start a process takes longer than to draw."""
    jobs = defaultdict(list)
    for name in dict.fromkeys([*figures_of(scope), *synthetic_figures()]):
        figure, _ = parts(name)
        kinds = dict.fromkeys(table.source.kind for table in figure.tables)
        stems = (Path(file).stem for file in figure.measures)
        jobs["_".join(["draw", *kinds, *stems])].append(name)
    return jobs


def pattern() -> str:
    """A regular expression of all names that a figure may have."""
    return f"({'|'.join(all_figures())})({VARIANTS})?(@[A-Za-z0-9_-]+)?"


def parts(name: str) -> tuple[Figure, Cut]:
    """The figure that a name stands for, and what it shows."""
    figure, _, recipe = name.partition("@")
    cut = Cut(recipe, figure.endswith(VARIANTS))
    return all_figures()[figure.removesuffix(VARIANTS)], cut


def title_and_caption(name: str) -> tuple[str, str]:
    """What readers are told of a figure."""
    figure, cut = parts(name)
    title = figure.title + (", every variant" if cut.everything else "")
    return title + (f", recipe {cut.recipe}" if cut.recipe else ""), figure.caption


def drawn_from(name: str, out: str, measures: str) -> list[str]:
    """The tables below ``out`` and the measures that a figure draws, and no others."""
    figure, _ = parts(name)
    files = [Path(out, table.path) for table in figure.tables]
    return [str(path) for path in (*files, *(Path(measures, file) for file in figure.measures))]


def draw(name: str, root: Path, spec: Scope, measures: Measures) -> Drawn:
    """A figure and its numbers.

    Args:
        name: Of the figure, with what it shows.
        root: Folder of the results, which has the tables.
        spec: Scope of the study.
        measures: Those that some figures draw besides.

    Raises:
        ValueError: no cell is trained by the recipe that the name asks for.
    """
    from matplotlib import rc_context

    figure, cut = parts(name)
    recipe = cut.recipe or next(iter(spec.trained))
    if recipe not in spec.trained:
        there = ", ".join(name or DEFAULT_RECIPE for name in spec.trained)
        raise ValueError(f"{name}: no cell is trained by recipe {recipe!r}; there is {there}")
    with rc_context(fname=STYLE):
        drawn, numbers = figure.make(Shown(root, spec, recipe, cut.everything, measures))
        if spec.several and not figure.all_recipes:
            drawn.suptitle(f"Recipe {recipe or DEFAULT_RECIPE}", fontsize="medium")
    return drawn, numbers


def main(measures: Path, root: Path, out: list[Path]) -> None:
    """Draw figures and write each with its numbers. The same input gives the same bytes.

    Args:
        measures: folder of the measures
        root: folder of the results, which has the tables
        out: images, .png, .svg or .pdf, named by the figures; beside a .png goes the .csv
    """
    from matplotlib import rc_context

    spec, known = Scope.read(measures / outputs.SCOPE), Measures(measures)
    for name, files in groupby(out, lambda path: path.with_suffix("")):
        say(f"draws {name}")
        drawn, numbers = draw(name.name, root, spec, known)
        for path in files:
            kind = path.suffix[1:]
            with rc_context(fname=STYLE), whole_file(path) as partial:
                drawn.savefig(partial, format=kind, metadata=UNDATED[kind])
            if kind == "png":
                write_csv(path.with_suffix(".csv"), numbers, None)
