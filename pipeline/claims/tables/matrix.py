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
    shown = [{name: told(here) for name, told in beside.items()} for here in under]
    rows: list[dict[Any, Any]] = []
    for place, claim in enumerate(listed):
        verdicts = claims.iloc[place :: len(listed)].to_dict("records")
        same: list[int | None] = [None] * len(settings)
        if claim.rests_on is not None:
            bases = [claim.rests_on(here) for here in under]
            same = _same_as(bases, [str(row["outcome"]) for row in verdicts])
        for number, (setting, row) in enumerate(zip(settings, verdicts, strict=True)):
            names = "; ".join(hangs.get((claim.key, setting), ()))
            told = {"number": number + 1, "widths": setting.widths, "hangs_on": names}
            rows.append(row | told | shown[number] | {"same_as": same[number]})
    matrix = pd.DataFrame(rows).astype({"same_as": "Int64"})
    last = ["reference"] if "reference" in claims else []
    return matrix[[*COLUMNS, *beside, "same_as", *last]]


def _same_as(bases: Sequence[Hashable], outcomes: Sequence[str]) -> list[int | None]:
    """Of each setting the number of the one that stands for all with its basis, the first that was
    measured; None for that one."""
    first: dict[Hashable, int] = {}
    for i in sorted(range(len(outcomes)), key=lambda i: outcomes[i] == MISSING):
        first.setdefault(bases[i], i)
    return [None if first[one] == i else first[one] + 1 for i, one in enumerate(bases)]


def hanging(
    evidence: Evidence, listed: Sequence[Claim], table: pd.DataFrame
) -> dict[tuple[str, Setting], list[str]]:
    """(claim, setting) -> the factors on which the verdict hangs, where there are some."""
    spec, outcomes = evidence.spec, table["outcome"].to_numpy().reshape(-1, len(listed))
    shown = dict(zip(spec.settings, outcomes, strict=True))

    @cache
    def judged(setting: Setting, places: tuple[tuple[str, str], ...]) -> list[str]:
        here = evidence.under(setting).at(places)
        return [claim.verdict(here).outcome for claim in listed]

    found: dict[tuple[str, Setting], list[str]] = {}
    for factor, *pair in _neighbours(spec):
        one, other = (spec.places(setting) for setting in pair)
        both = [judged(setting, tuple(at for at in one if at in other)) for setting in pair]
        for i, claim in enumerate(listed):
            for setting, own in zip(pair, both, strict=True):
                names = found.setdefault((claim.key, setting), [])
                turned = {own[i] for own in both} == {HOLDS, FAILS} and shown[setting][i] == own[i]
                if turned and factor.name not in names:
                    names.append(factor.name)
    return found


def _neighbours(spec: Scope) -> Iterator[tuple[Factor, Setting, Setting]]:
    """Settings that differ in one factor alone, and in which."""
    for one, other in combinations(spec.settings, 2):
        differing = differ_in(spec.factors, one, other)
        if len(differing) == 1:
            yield differing[0], one, other
