"""Settings of a study, and the factors in which they differ.

A setting is a recipe and a pair of widths: what claims are judged under. The widths are those of a
comparison of half-width SA-GSAE with full-width Gated; of several comparisons at the same widths,
the first one counts. A factor is a setting of training in which recipes differ, what recipes say
of themselves, or the widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.study.grid import Comparison, Sized
from pipeline.study.recipes import WIDTH_FACTOR
from pipeline.study.training import Training

# A level that nothing names; a value that there is none of.
BLANK = "–"

# Begins the name of a column that has the level of a factor.
LEVEL = "level_"

# The intact sign-aware variants, which the paper's claims are about.
SIGN_AWARE = ("sagsae", "sagsae_sym", "sagsae_tied")

# The family of the paper's variants.
PAPER_FAMILY = "gated"


@dataclass(frozen=True)
class Setting:
    """A recipe, and the comparison of half width with full width that is made under it."""

    # Empty for the default one.
    recipe: str
    # Its number in the configuration, from 1; None where the recipe has no such comparison.
    comparison: int | None = None
    # Its two widths, such as "8d vs 16d"; empty where there is no comparison.
    widths: str = ""


@dataclass(frozen=True, eq=False)
class Factor:
    """A way in which settings differ."""

    name: str
    # What each setting has of it.
    levels: Mapping[Setting, str]
    # Other factors that change whenever it does, and only then: nothing tells them apart.
    together_with: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        """Its column in tables of points."""
        return f"{LEVEL}{self.name}"

    @property
    def ordered(self) -> list[str]:
        """The levels: numbers in their order, else as the settings come."""
        found = list(dict.fromkeys(self.levels.values()))
        try:
            return sorted(found, key=float)
        except ValueError:
            return found


def width_pairs(comparisons: Sequence[Comparison], models: Mapping[str, int]) -> dict[int, str]:
    """Number -> widths of each comparison of an intact sign-aware variant with Gated of twice its
    width; the first one of each pair of widths."""
    found: dict[str, int] = {}
    for number, item in enumerate(comparisons, start=1):
        half, full = item.candidate, item.baseline
        fits = any(2 * half.width_for(d) == full.width_for(d) for d in models.values())
        if half.variant in SIGN_AWARE and full.variant == "gated" and fits:
            found.setdefault(f"{_width(half)} vs {_width(full)}", number)
    return {number: widths for widths, number in found.items()}


def _width(side: Sized) -> str:
    return str(side.width) if side.expansion is None else f"{side.expansion:g}d"


def factors_of(
    settings: Sequence[Setting], levels: Mapping[str, Mapping[str, str]]
) -> list[Factor]:
    """The factors that have several levels among some settings.

    Those that always change together are one factor. It is named after what recipes say of
    themselves, if they say it, and has their words for its levels. A level without words is that of
    the other factor, if there is one, and else a dash.

    Args:
        settings: In the order in which levels are to be listed.
        levels: Recipe -> factor -> its level.
    """
    recipes = list(dict.fromkeys(setting.recipe for setting in settings))
    names = dict.fromkeys(name for recipe in recipes for name in levels.get(recipe, {}))
    found = {
        name: [levels.get(setting.recipe, {}).get(name, "") for setting in settings]
        for name in names
    }
    found[WIDTH_FACTOR] = [setting.widths for setting in settings]
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, values in found.items():
        if len(set(values)) > 1:
            groups.setdefault(_partition(values), []).append(name)
    return [_factor(group, settings, found) for group in groups.values()]


def _partition(values: Iterable[str]) -> tuple[int, ...]:
    """Which values are equal, whatever they are."""
    seen: dict[str, int] = {}
    return tuple(seen.setdefault(value, len(seen)) for value in values)


def _factor(
    group: Sequence[str], settings: Sequence[Setting], found: Mapping[str, Sequence[str]]
) -> Factor:
    known = {*Training.model_fields, WIDTH_FACTOR}
    first = next((name for name in group if name not in known), group[0])
    others = tuple(name for name in group if name != first)
    instead = found[others[0]] if len(others) == 1 else [BLANK] * len(settings)
    values = [own or other or BLANK for own, other in zip(found[first], instead, strict=True)]
    return Factor(first, dict(zip(settings, values, strict=True)), others)


def differ_in(factors: Sequence[Factor], one: Setting, other: Setting) -> list[Factor]:
    """The factors of which two settings have different levels."""
    return [factor for factor in factors if factor.levels[one] != factor.levels[other]]
