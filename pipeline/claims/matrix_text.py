"""Verdicts under several settings, as people read them: a sentence per claim, and the matrix."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from string import ascii_lowercase
from typing import Any

import pandas as pd

from pipeline.claims.evidence import FAILS, HOLDS, OPEN
from pipeline.claims.matrix import noun
from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.text.numbers import BLANK, Grid

SYMBOLS = {HOLDS: "+", FAILS: "−", OPEN: "·"}
"""Outcome -> what stands for it in the matrix."""


def parts(matrix: pd.DataFrame, spec: ComparisonSpec) -> list[str | Grid]:
    """The sentences, the legend, the matrix, and what the whole is not."""
    verdicts = verdict_grid(matrix, spec)
    shown = [legend(spec), verdicts] if verdicts.rows else ["No verdict differs between settings."]
    return [sentence_grid(matrix), *shown, remark(spec)]


def sentence_grid(matrix: pd.DataFrame) -> Grid:
    """A sentence per claim."""
    listed = matrix.drop_duplicates("claim").to_dict("records")
    return Grid(
        title="What became of each claim",
        columns=("No.", "Claim", "Under all settings"),
        rows=tuple(
            (str(number), row["statement"], row["sentence"])
            for number, row in enumerate(listed, start=1)
        ),
    )


def verdict_grid(matrix: pd.DataFrame, spec: ComparisonSpec) -> Grid:
    """A row per setting, a column per claim whose verdict is not the same under all of them.

    Without such a claim there are no rows.
    """
    letters = _letters(spec)
    numbers = {key: i for i, key in enumerate(matrix["claim"].unique(), start=1)}
    differ = matrix.groupby("claim", sort=False)["outcome"].nunique()
    keys = [str(key) for key, count in differ.items() if count > 1]
    by_claim = {key: matrix[matrix["claim"] == key].to_dict("records") for key in keys}
    heads = ["Dead in Gated"] if (matrix["dead_in_baseline"] != "").any() else []
    rows = []
    for i, setting in enumerate(spec.settings if keys else []):
        first = by_claim[keys[0]][i]
        names = [str(i + 1), *[setting.recipe or DEFAULT_RECIPE] * spec.several]
        levels = [factor.levels[setting] for factor in spec.factors]
        dead = [first["dead_in_baseline"].removesuffix(" pairs") or BLANK] * len(heads)
        marks = [_mark(by_claim[key][i], letters) for key in keys]
        rows.append((*names, *levels, *dead, *marks))
    factors = [f"{letters[factor.name]}: {factor.name}" for factor in spec.factors]
    columns = ("No.", *["Recipe"] * spec.several, *factors, *heads)
    return Grid(
        title="Verdicts that differ between settings, by number of the claim",
        columns=(*columns, *(str(numbers[key]) for key in keys)),
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
    words = ", ".join(f"{symbol} {outcome}" for outcome, symbol in SYMBOLS.items())
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
