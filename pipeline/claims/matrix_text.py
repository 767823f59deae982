"""Verdicts under several settings, as people read them: the matrix, with a sentence per claim."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from string import ascii_lowercase
from typing import Any

import pandas as pd

from pipeline.claims.matrix import noun
from pipeline.claims.verdicts import FAILS, HOLDS, MISSING, OPEN
from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.text.numbers import BLANK, Grid

SYMBOLS = {HOLDS: "+", FAILS: "−", OPEN: "·", MISSING: ""}
"""Outcome -> what stands for it in the matrix."""


def parts(matrix: pd.DataFrame, spec: ComparisonSpec) -> list[str | Grid]:
    """The matrix, its legend, what each setting is, and what the whole is not."""
    return [verdict_grid(matrix, spec), legend(spec), setting_grid(matrix, spec), remark(spec)]


def verdict_grid(matrix: pd.DataFrame, spec: ComparisonSpec) -> Grid:
    """A row per claim, a column per setting, and what became of the claim in a sentence.

    Args:
        matrix: Rows of claims_matrix.csv.
        spec: Has the settings and their factors.
    """
    letters = _letters(spec)
    beside = ["reference"] if "reference" in matrix else []
    rows: list[tuple[str, ...]] = []
    for number, (_, of) in enumerate(matrix.groupby("claim", sort=False), start=1):
        marks = [_mark(row, letters) for row in of.to_dict("records")]
        statement, *told = of[["statement", "sentence", *beside]].iloc[0]
        rows.append((str(number), statement, *marks, *told))
    numbers = [str(i) for i in range(1, len(spec.settings) + 1)]
    return Grid(
        title="What became of each claim, by number of the setting",
        columns=(
            "No.",
            "Claim",
            *numbers,
            "Under all settings",
            *["Reference study"] * len(beside),
        ),
        rows=tuple(rows),
    )


def setting_grid(matrix: pd.DataFrame, spec: ComparisonSpec) -> Grid:
    """A row per setting: its number, its recipe, its levels, and where its baseline has dead
    latents."""
    letters = _letters(spec)
    dead = matrix.groupby("number")["dead_in_baseline"].first()
    heads = ["Dead in Gated"] * bool((dead != "").any())
    rows = []
    for number, setting in enumerate(spec.settings, start=1):
        names = [setting.recipe or DEFAULT_RECIPE] * spec.several
        levels = [factor.levels[setting] for factor in spec.factors]
        shown = [dead[number].removesuffix(" pairs") or BLANK] * len(heads)
        rows.append((str(number), *names, *levels, *shown))
    factors = [f"{letters[factor.name]}: {factor.name}" for factor in spec.factors]
    return Grid(
        title="The settings",
        columns=("No.", *["Recipe"] * spec.several, *factors, *heads),
        rows=tuple(rows),
    )


def _letters(spec: ComparisonSpec) -> dict[str, str]:
    """Factor -> the letter that stands for it beside a verdict."""
    return {f.name: ascii_lowercase[i % 26] for i, f in enumerate(spec.factors)}


def _mark(row: Mapping[Hashable, Any], letters: dict[str, str]) -> str:
    hangs = "".join(sorted(letters[name] for name in row["hangs_on"].split("; ") if name))
    return " ".join(filter(None, [SYMBOLS[row["outcome"]], hangs]))


def legend(spec: ComparisonSpec) -> str:
    """What the symbols, the letters and the columns of the matrix are."""
    words = ", ".join(f"{symbol or 'empty:'} {outcome}" for outcome, symbol in SYMBOLS.items())
    text = (
        f"{words}. A letter beside a verdict names a factor on which it hangs: another level of "
        "that factor alone turns it, all else equal, on the pairs that both have."
    )
    joined = [f for f in spec.factors if f.together_with]
    if joined:
        names = "; ".join(f"{f.name} and {', '.join(f.together_with)}" for f in joined)
        text += f" These change together, so nothing tells them apart: {names}."
    if spec.has_effects:
        text += (
            " Dead in Gated: pairs on which Gated has dead latents at all, without which it cannot "
            "have more of them."
        )
    return text


def remark(spec: ComparisonSpec) -> str:
    """What must be known beside the counts."""
    return (
        f"The {noun(spec)} are no sample and not fully crossed: a count says under which of them "
        "a claim holds, not how likely it is. Errors and P(dominance) come from a bootstrap over "
        "seeds. The claim that counts pairs has one over the pairs in its remark, too. A claim "
        "that asks for every pair has none: where all pairs meet it, so does every draw of them."
    )
