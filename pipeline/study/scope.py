"""The scope of a study: what tables, figures, claims and report must know of it (study.json)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import product
from operator import not_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline.jobs.json_files import digest, read_json
from pipeline.study.cell import Cell, SweepKey
from pipeline.study.grid import Comparison, is_foreign
from pipeline.study.recipes import Recipe, home
from pipeline.study.sections import SA_GSAE, ConfigError, describe
from pipeline.study.settings import PAPER_FAMILY, Factor, Setting, factors_of, width_pairs
from sagsae.autoencoders.registry import sides, stem, stems

if TYPE_CHECKING:
    import pandas as pd

# What is compared along a sweep, at equal L0 or equal lambda -> its name in words.
SWEPT = {"r2": "R²", "dead_fraction": "Dead fraction", "loss_recovered": "Loss Recovered"}
# With what comparisons read off at a matched L0 besides.
MATCHED = SWEPT | {"loss_added": "CE loss increase (nats/token)"}

# L0 at which sweeps are read off where a study compares nothing.
DEFAULT_LEVEL = 64.0


def _pairs(jobs: Any) -> Any:
    return list(jobs.items()) if isinstance(jobs, dict) else jobs


# Jobs in an order, which an object of JSON does not keep.
Jobs = Annotated[list[tuple[str, dict[str, str]]], BeforeValidator(_pairs)]


class Scope(BaseModel):
    """What the tables, the figures and the report cover."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    made_for: dict[str, Jobs]
    """Kind of measure (cells, dial, probe, signs, synthetic) -> name of each job, in the order of
    tables, and what its file must have been made for, see `pipeline.study.made_for`."""
    comparisons: list[Comparison]
    models: dict[str, int]
    """Model name -> d_model, by name: tables follow this order."""
    hookpoints: list[str]
    """Names of the places: tables follow this order, too."""
    study: str = ""
    """Name of the study."""
    note: str = ""
    """What readers must know before they read a number."""
    sources: list[str] = []
    """Names of the sources of text, where there are several."""
    curves: list[str] = []
    """Paths of the cells whose training curves may be drawn."""
    missing: list[str] = []
    """Paths of the cells that are not there yet, and that take no part."""
    with_synthetic: bool = False
    """Whether the synthetic protocols are part of the study, so that their claims are judged."""
    truth: bool = Field(default=False, exclude_if=not_)
    """Whether cells are judged by features that are known."""
    claims: str = ""
    """Names the claims that are judged; empty for none."""
    reference: str = ""
    """Folder of another study whose verdicts stand beside the own ones, below the checkout."""
    recipes: dict[str, Recipe] = {}
    """The study's recipes but for the default one, whose name in tables is the empty text."""
    levels: dict[str, dict[str, str]] = {}
    """Recipe -> factor -> its level there, see ``pipeline.study.recipes.levels_of``."""

    @classmethod
    def read(cls, path: Path) -> Scope:
        """From study.json.

        Raises:
            ConfigError: not of this schema; every fault with its path.
            ValueError: not JSON, or damaged.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            raise ConfigError(describe(error, str(path))) from None

    @cached_property
    def digest(self) -> str:
        """Digest of all that a number hangs on. Words for readers are not in it."""
        return digest(self.model_dump(exclude={"study", "note"}))

    def jobs(self, kind: str) -> dict[str, dict[str, str]]:
        """Names of the jobs of one kind of measure, in the order of the tables, and what the file
        of each must have been made for."""
        return dict(self.made_for.get(kind, ()))

    @cached_property
    def grid(self) -> list[Cell]:
        """The grid's cells."""
        return [Cell.from_path(path) for path in self.jobs("cells")]

    @cached_property
    def drawn(self) -> list[Cell]:
        """The cells whose training curves may be drawn."""
        return [Cell.from_path(path) for path in self.curves]

    @cached_property
    def sweeps(self) -> set[SweepKey]:
        """Every sweep."""
        return {cell.sweep for cell in self.grid}

    @cached_property
    def families(self) -> list[str]:
        """The one-sided variants that the grid's variants are, or are forms of."""
        return stems(cell.variant for cell in self.grid)

    @property
    def ranks_all(self) -> bool:
        """Whether all sweeps are ranked against all, and forms of two sides set beside those of
        one: in a study of several families, or with section signs."""
        return len(self.families) > 1 or bool(self.jobs("signs"))

    @cached_property
    def has_sign_rates(self) -> bool:
        """Whether some two-sided sweep stands beside several widths of its one-sided form."""
        widths: dict[tuple[str, str, str], set[int]] = {}
        for key in self.sweeps:
            widths.setdefault((key.model, key.hookpoint, key.variant), set()).add(key.width)
        two = [(key, stem(key.variant)) for key in self.sweeps if sides(key.variant) == 2]
        found = (widths.get((key.model, key.hookpoint, one), set()) for key, one in two)
        return any(len(own) > 1 for own in found)

    @cached_property
    def trained(self) -> dict[str, list[tuple[str, str]]]:
        """Recipe -> each (model, hookpoint) at which it has cells."""
        places = list(product(self.models, self.hookpoints))
        at = {(cell.recipe, cell.model, cell.hookpoint) for cell in self.grid}
        used = {cell.recipe for cell in self.grid}
        names = [name for name in ("", *sorted(self.recipes)) if name in used]
        return {name: [place for place in places if (name, *place) in at] for name in names or [""]}

    @property
    def several(self) -> bool:
        """Whether readers must be told of recipes."""
        return len(self.trained) > 1

    @cached_property
    def settings(self) -> list[Setting]:
        """What claims are judged under: each recipe with each pair of widths that is compared
        under it, or alone if it has none. Of several, the SA-GSAE paper's claims leave out a
        recipe that trains none of its variants."""
        pairs, found = width_pairs(self.comparisons, self.models), []
        of_paper = {cell.recipe for cell in self.grid if stem(cell.variant) == PAPER_FAMILY}
        for recipe in self.trained:
            own = [Setting(recipe, number, widths) for number, widths in pairs.items()]
            alone = [Setting(recipe)] * (recipe in of_paper or self.claims != SA_GSAE)
            found += [one for one in own if self.places(one)] or alone
        return found or [Setting(next(iter(self.trained)))]

    def places(self, setting: Setting) -> list[tuple[str, str]]:
        """Each (model, hookpoint) at which both sides of a setting's comparison have cells, one of
        them at least of its own recipe; those of the recipe where there is no comparison."""
        if setting.comparison is None:
            return self.trained[setting.recipe]
        found = []
        for place in self.trained[setting.recipe]:
            keys = self.sides(self.comparisons[setting.comparison - 1], setting.recipe, *place)
            own = any(key.recipe == setting.recipe for key in keys)
            found += [place] * (own and self.sweeps.issuperset(keys))
        return found

    def sides(
        self, item: Comparison, recipe: str, model: str, hookpoint: str
    ) -> tuple[SweepKey, SweepKey]:
        """The sweeps of candidate and baseline of a comparison that stand under a recipe."""
        candidate, baseline = (
            SweepKey(model, hookpoint, side.variant, self.home(recipe, side.variant), width)
            for side in (item.candidate, item.baseline)
            for width in [side.width_for(self.models[model])]
        )
        return candidate, baseline

    @cached_property
    def _main(self) -> set[tuple[str, str, int]]:
        """(model, variant, width) of both sides of the first comparison."""
        return self._sides_of(self.comparisons[:1])

    def _sides_of(self, items: Iterable[Comparison]) -> set[tuple[str, str, int]]:
        return {
            (model, side.variant, side.width_for(d_model))
            for item in items
            for side in (item.candidate, item.baseline)
            for model, d_model in self.models.items()
        }

    def in_main(self, model: str, variant: str, width: int) -> bool:
        """Whether cells are of a side of the first comparison; all are where there is none."""
        return not self.comparisons or (model, variant, width) in self._main

    def widths(self, setting: Setting) -> set[tuple[str, int]]:
        """(model, width) of both sides of a setting's comparison; none where it has none."""
        number = setting.comparison
        items = [] if number is None else [self.comparisons[number - 1]]
        return {(model, width) for model, _, width in self._sides_of(items)}

    @property
    def compared(self) -> list[Setting]:
        """The settings that have a comparison."""
        return [setting for setting in self.settings if setting.comparison is not None]

    @property
    def several_settings(self) -> bool:
        """Whether claims are judged under several settings."""
        return len(self.settings) > 1

    @property
    def has_effects(self) -> bool:
        """Whether several settings have a comparison, so that their effects can be set side by
        side."""
        return len(self.compared) > 1

    @property
    def several_widths(self) -> bool:
        """Whether readers must be told of widths."""
        return len({setting.widths for setting in self.compared}) > 1

    @cached_property
    def factors(self) -> list[Factor]:
        """In what the settings differ."""
        return factors_of(self.settings, self.levels)

    def first_level(self, setting: Setting | None) -> float:
        """The first L0 at which the comparison of a setting is read off."""
        number = setting.comparison if setting else None
        own = self.comparisons[number - 1].matched_l0 if number else []
        return next(iter(own), self.matched_levels[0])

    def home(self, recipe: str, variant: str) -> str:
        """The recipe whose cells of a variant stand under a recipe."""
        return home(self.recipes, recipe, variant)

    def under(self, recipe: str, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table of cells or sweeps that stand under a recipe."""
        names = (rows[name] for name in ("model", "hookpoint", "variant", "recipe"))
        return rows.loc[
            [
                own == self.home(recipe, variant) and (model, hookpoint) in self.trained[recipe]
                for model, hookpoint, variant, own in zip(*names, strict=True)
            ]
        ]

    @property
    def matched_levels(self) -> list[float]:
        """Every L0 at which some comparison is read off, in the order of the configuration."""
        levels = [l0 for item in self.comparisons for l0 in item.matched_l0]
        return list(dict.fromkeys(levels)) or [DEFAULT_LEVEL]


def drawn_cells(cells: Iterable[Cell], scope: Scope) -> list[Cell]:
    """The cells whose training curves may be drawn: of each sweep of the main comparison the lowest
    seed of each lambda or k. Cells of other libraries have no curve."""
    found: dict[tuple[SweepKey, float], Cell] = {}
    for cell in sorted(cells, key=lambda cell: (cell.sweep, cell.seed)):
        if scope.in_main(cell.model, cell.variant, cell.width) and not is_foreign(cell):
            found.setdefault((cell.sweep, cell.knob), cell)
    return list(found.values())
