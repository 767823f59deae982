"""Verdicts under several settings, side by side: what each hangs on, and what tells them apart.

A verdict *hangs on* a factor if another level of that factor turns it, all else equal: the same
claim, judged at the (model, hookpoint) that both settings have, holds under one and not under the
other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

import pandas as pd

from pipeline.analysis.columns import recipe_name, text
from pipeline.analysis.table import Table
from pipeline.claims.claim import FAILS, HOLDS, MISSING, Claim
from pipeline.claims.evidence import Evidence
from pipeline.claims.tables.verdicts import JUDGED
from pipeline.study.scope import Scope
from pipeline.study.settings import Factor, Setting, differ_in

# ``number`` counts settings. ``same_as`` is of a claim that says what it rests on: the number of a
# setting where that is the same, so that both count once.
COLUMNS = ("claim", "statement", "number", "recipe", "widths", "outcome", "hangs_on")


def _by_setting(table: pd.DataFrame) -> pd.DataFrame:
    """A row per claim, a column per setting: its outcome, and the factors on which it hangs."""
    hangs = table["hangs_on"].map(lambda names: f" ({names})" if names else "")
    settings = "Recipe " + table["recipe"].map(recipe_name) + " " + table["widths"]
    named = table.assign(setting=settings.str.strip(), told=table["outcome"] + hangs)
    return named.pivot_table(
        index="statement", columns="setting", values="told", aggfunc="first", sort=False
    ).reset_index()


MATRIX = Table(
    "claims_matrix",
    "Claims under all settings",
    reads="A column is a setting: a recipe and the widths compared. Brackets name the factors "
    "on which a verdict hangs: another level of that factor alone turns it.",
    columns=[text("statement", "Claim"), "..."],
    texts="claim hangs_on dead_in_baseline reference",
    prepare=_by_setting,
    when=lambda spec: spec.several_settings,
)


@MATRIX.made_from(JUDGED)
def matrix_table(
    evidence: Evidence,
    listed: Sequence[Claim],
    claims: pd.DataFrame,
    beside: Mapping[str, Callable[[Evidence], str]],
) -> pd.DataFrame:
    """One row per (claim, setting).

    Args:
        evidence: The tables of the study, of all settings.
        listed: The claims.
        claims: Their verdicts: claims.csv, one block of claims per setting.
        beside: Further columns, which tell of a setting.
    """
    settings, hangs = evidence.spec.settings, hanging(evidence, listed, claims)
    under = [evidence.under(setting) for setting in settings]
    of_setting: dict[str, Any] = {name: [*map(told, under)] for name, told in beside.items()}
    of_setting["widths"] = [setting.widths for setting in settings]
    of_setting["number"] = range(1, len(settings) + 1)
    parts = []
    for place, claim in enumerate(listed):
        verdicts = claims.iloc[place :: len(listed)]
        names = ["; ".join(hangs.get((claim.key, setting), ())) for setting in settings]
        same: Any = _same_as(claim, under, list(verdicts["outcome"]))
        parts.append(verdicts.assign(**of_setting, hangs_on=names, same_as=same))
    matrix = pd.concat(parts).astype({"same_as": "Int64"})
    return matrix[[*COLUMNS, *beside, "same_as", *claims.columns.intersection(["reference"])]]


def _same_as(
    claim: Claim, under: Sequence[Evidence], outcomes: Sequence[str]
) -> Sequence[int | None]:
    """A number for each setting: that of the first measured setting on which the claim rests alike.
    None for this first one, and where each setting counts."""
    if claim.rests_on is None:
        return [None] * len(under)
    bases = [claim.rests_on(here) for here in under]
    first: dict[Hashable, int] = {}
    for i in sorted(range(len(outcomes)), key=lambda i: outcomes[i] == MISSING):
        first.setdefault(bases[i], i)
    return [None if first[basis] == i else first[basis] + 1 for i, basis in enumerate(bases)]


def hanging(
    evidence: Evidence, listed: Sequence[Claim], table: pd.DataFrame
) -> dict[tuple[str, Setting], dict[str, None]]:
    """(claim, setting) -> the factors on which the verdict hangs, where there are some."""
    spec, outcomes = evidence.spec, table["outcome"].to_numpy().reshape(-1, len(listed))
    shown = dict(zip(spec.settings, outcomes, strict=True))

    @cache
    def judged(setting: Setting, places: tuple[tuple[str, str], ...]) -> list[str]:
        here = evidence.under(setting).at(places)
        return [claim.verdict(here).outcome for claim in listed]

    hangs: dict[tuple[str, Setting], dict[str, None]] = {}
    for factor, *pair in _neighbours(spec):
        places, others = (spec.places(setting) for setting in pair)
        shared = tuple(place for place in places if place in others)
        both = [judged(setting, shared) for setting in pair]
        for i, claim in enumerate(listed):
            turned = {verdicts[i] for verdicts in both} == {HOLDS, FAILS}
            for setting, verdicts in zip(pair, both, strict=True):
                if turned and shown[setting][i] == verdicts[i]:
                    hangs.setdefault((claim.key, setting), {})[factor.name] = None
    return hangs


def _neighbours(spec: Scope) -> Iterator[tuple[Factor, Setting, Setting]]:
    """Settings that differ in one factor alone, and in which."""
    for pair in combinations(spec.settings, 2):
        differing = differ_in(spec.factors, *pair)
        if len(differing) == 1:
            yield differing[0], *pair
