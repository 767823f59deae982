"""Verdicts under several settings, side by side: what each hangs on, and what tells them apart.

A verdict *hangs on* a factor if another level of that factor turns it, all else equal: the same
claim, judged at the (model, hookpoint) that both settings have, holds under one and not under the
other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import pandas as pd

from pipeline.claims.evidence import EQUAL_L0, Claim, Evidence
from pipeline.claims.verdicts import FAILS, HOLDS, MISSING, OPEN, PARTLY
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.settings import Factor, Setting, differ_in

COLUMNS = (
    *("claim", "statement", "sentence", "number", "recipe", "widths", "outcome", "hangs_on"),
    "dead_in_baseline",
)
"""``number`` counts settings. ``dead_in_baseline`` says how many pairs have a baseline with dead
latents, without which nothing can be said of fewer dead ones."""
Outcomes = Mapping[Setting, str]


def matrix_table(evidence: Evidence, listed: Sequence[Claim], table: pd.DataFrame) -> pd.DataFrame:
    """One row per (claim, setting).

    Args:
        evidence: The tables of the study, of all settings.
        listed: The claims.
        table: Their verdicts: claims.csv, one block of claims per setting.
    """
    spec, rows = evidence.spec, []
    hangs = hanging(evidence, listed, table)
    dead = [dead_in_baseline(evidence.under(setting)) for setting in spec.settings]
    for claim in listed:
        verdicts = table[table["claim"] == claim.key]
        outcomes = dict(zip(spec.settings, verdicts["outcome"], strict=True))
        told = sentence(verdicts, outcomes, spec)
        for i, setting in enumerate(spec.settings):
            rows.append(
                {
                    "claim": claim.key,
                    "statement": verdicts["statement"].iloc[i],
                    "sentence": told,
                    "number": i + 1,
                    "recipe": setting.recipe,
                    "widths": setting.widths,
                    "outcome": outcomes[setting],
                    "hangs_on": "; ".join(hangs.get((claim.key, setting), ())),
                    "dead_in_baseline": dead[i],
                }
            )
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    if "reference" not in table:
        return found
    beside = table[["claim", "reference"]].drop_duplicates("claim")
    return found.merge(beside, on="claim", how="left")


def dead_in_baseline(evidence: Evidence) -> str:
    """Such as "4 of 6 pairs", of what stands under one setting; empty where nothing is compared."""
    rows = evidence.main
    if rows.empty or f"{EQUAL_L0}ceiling" not in rows:
        return ""
    some = rows["dead_ceiling"].notna() | rows[f"{EQUAL_L0}ceiling"].notna()
    return f"{some.sum()} of {len(rows)} pairs"


def hanging(
    evidence: Evidence, listed: Sequence[Claim], table: pd.DataFrame
) -> dict[tuple[str, Setting], list[str]]:
    """(claim, setting) -> the factors on which the verdict hangs, where there are some."""
    settings, size = evidence.spec.settings, len(listed)
    shown = {
        setting: dict(zip(block["claim"], block["outcome"], strict=True))
        for i, setting in enumerate(settings)
        for block in [table.iloc[i * size : (i + 1) * size]]
    }
    found: dict[tuple[str, Setting], list[str]] = {}
    for factor, one, other in _neighbours(evidence.spec):
        pair = (one, other)
        there = [evidence.spec.places(setting) for setting in pair]
        if there[0] == there[1]:
            judged = {setting: shown[setting] for setting in pair}
        else:
            common = [place for place in there[0] if place in there[1]]
            if not common:
                continue
            judged = {setting: _judged(evidence, listed, setting, common) for setting in pair}
        for claim in listed:
            outcomes = [judged[setting][claim.key] for setting in pair]
            for setting, outcome in zip(pair, outcomes, strict=True):
                turned = set(outcomes) == {HOLDS, FAILS} and shown[setting][claim.key] == outcome
                names = found.setdefault((claim.key, setting), [])
                if turned and factor.name not in names:
                    names.append(factor.name)
    return found


def _neighbours(spec: ComparisonSpec) -> Iterator[tuple[Factor, Setting, Setting]]:
    """Settings that differ in one factor alone, and in which."""
    for one, other in combinations(spec.settings, 2):
        differing = differ_in(spec.factors, one, other)
        if len(differing) == 1:
            yield differing[0], one, other


def _judged(
    evidence: Evidence, listed: Sequence[Claim], setting: Setting, places: list[tuple[str, str]]
) -> dict[str, str]:
    found = evidence.under(setting).at(places)
    return {claim.key: claim.verdict(found).outcome for claim in listed}


def sentence(verdicts: pd.DataFrame, outcomes: Outcomes, spec: ComparisonSpec) -> str:
    """What became of one claim under all settings.

    Args:
        verdicts: Its rows of claims.csv, one per setting.
        outcomes: The same, by setting.
        spec: Has the factors.
    """
    every = f"{len(outcomes)} {noun(spec)}"
    there = {setting: found for setting, found in outcomes.items() if found != MISSING}
    if not there:
        return f"Not measured: {verdicts['why'].mode()[0]}."
    if len(there) < len(outcomes):
        every = f"{len(there)} {noun(spec)} that measure it"
        verdicts, outcomes = verdicts[verdicts["outcome"] != MISSING], there
    if len(there) == 1 < len(spec.settings):
        ((setting, found),) = there.items()
        only = noun(spec).removesuffix("s")
        return f"{found.capitalize()} under {setting.named}, the only {only} that measures it."
    by_outcome = {
        outcome: [setting for setting, found in outcomes.items() if found == outcome]
        for outcome in (HOLDS, FAILS, OPEN)
    }
    held, failed, left = by_outcome.values()
    if len(left) == len(outcomes):
        return _untestable(verdicts["why"], every)
    if not left and len(verdicts[["outcome", "here"]].drop_duplicates()) == 1:
        does = "Holds" if held else "Does not hold"
        return f"{does}, with the same numbers under all {every}."
    if not left:
        return f"Holds under {_how_many(held, failed, every, ': ', spec)}."
    able = [setting for setting in outcomes if setting not in left]
    among = told_apart(able, left, spec.factors)
    where = f"Testable under {len(able)} of {every}{', ' * bool(among)}{among}"
    return f"{where}: holds under {_how_many(held, failed, 'them', ', ', spec)}."


def _untestable(reasons: pd.Series, every: str) -> str:
    """Of a claim that no setting can decide: on how many it holds as far as it can be seen, or
    the reason."""
    if partly := int(reasons.str.startswith(PARTLY).sum()):
        return (
            f"Not testable on every pair under any of {every}; under {partly} of them it holds on "
            "the pairs that can show it."
        )
    counts = reasons.value_counts()
    most = "" if len(counts) == 1 else ", most often because"
    return f"Not testable under any of {every}{most}: {counts.index[0]}."


def _how_many(
    held: Sequence[Setting], failed: Sequence[Setting], every: str, mark: str, spec: ComparisonSpec
) -> str:
    """Such as "3 of 9 recipes: those with b_dec_init zero"."""
    if not (held and failed):
        return f"none of {every}" if failed else f"all {'of them' if every == 'them' else every}"
    apart = told_apart(held, failed, spec.factors)
    nothing = "; no level of one factor or of two tells which"
    return f"{len(held)} of {every}{mark + apart if apart else nothing}"


def noun(spec: ComparisonSpec) -> str:
    """What the study's settings are, in a word."""
    if not spec.several_widths:
        return "recipes"
    return "settings" if spec.several else "widths"


def told_apart(
    held: Sequence[Setting], failed: Sequence[Setting], factors: Sequence[Factor]
) -> str:
    """Which levels of one factor, or of two, separate the settings under which a claim holds from
    those under which it does not; empty where none do."""
    for count in (1, 2):
        for inside, outside, words in (
            (held, failed, "those with"),
            (failed, held, "all but those with"),
        ):
            if found := list(_descriptions(inside, outside, factors, count)):
                also = f", which are also those with {found[1]}" if len(found) > 1 else ""
                return f"{words} {found[0]}{also}"
    return ""


def _descriptions(
    inside: Sequence[Setting], outside: Sequence[Setting], factors: Sequence[Factor], count: int
) -> Iterator[str]:
    """Levels of ``count`` factors that all settings inside have, and none outside."""
    for group in combinations(factors, count):
        wanted = {factor: {factor.levels[setting] for setting in inside} for factor in group}
        if any(len(levels) > 1 for levels in wanted.values()):
            continue
        if not any(all(f.levels[s] in wanted[f] for f in group) for s in outside):
            yield " and ".join(f"{f.name} {next(iter(levels))}" for f, levels in wanted.items())
