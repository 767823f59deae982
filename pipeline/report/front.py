"""The front of the report: the question, the answer in a few sentences, the figures that carry it.

All of it is computed from the tables. A study that compares half width with full width under
several settings is answered over all of them. A study of several families is asked for the best
of them first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.claims.matrix import noun
from pipeline.claims.verdicts import FAILS, HOLDS, MISSING, OPEN
from pipeline.report.families import QUESTION, all_in_brief
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.figures import FAMILY_FIGURES, RECIPE_MARK
from pipeline.study.outputs import CLAIMS, CLAIMS_MATRIX, COMPARISON, EFFECTS
from pipeline.study.paper_numbers import DEAD_LOWER_BY, MATCHED_WITHIN
from pipeline.text.csv_files import read_table
from pipeline.text.numbers import matched_column, signed, span, variant_label

SIDES = ("candidate", "baseline")
CARRYING = ("figure_spec_gap", "figure_spec_dead", "figure_r2", "figure_2", "figure_3")
"""The figures that carry the answer, the most important first."""
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Front:
    """What a reader sees first."""

    question: str
    answer: tuple[str, ...]
    """Sentences on R2, on dead latents or on all families, and on the paper's claims."""
    figures: tuple[str, ...]
    """Names of the figures that carry the answer."""


def front(tables: Path, spec: ComparisonSpec) -> Front:
    """From the written tables.

    Args:
        tables: Folder of the tables.
        spec: Has the comparisons, the settings and the figures.
    """
    rows = points(tables, spec)
    told = on_claims(tables, spec)
    if spec.several_families:
        own = [on_r2(rows, *_halves(rows), spec)] if len(rows) else []
        return Front(
            question=QUESTION,
            answer=(*all_in_brief(tables, spec), *own, told),
            figures=tuple(n for n in spec.figures if n.partition(RECIPE_MARK)[0] in FAMILY_FIGURES),
        )
    asked = "What do these autoencoders reach?"
    answer = ["This study does not compare half width with full width."]
    if len(rows):
        half, full = _halves(rows)
        asked = f"Does {half} do at half the width what {full} does at full width?"
        answer = [on_r2(rows, half, full, spec), on_dead(rows, half, full, spec)]
    available = [name for name in CARRYING if name in spec.figures]
    return Front(question=asked, answer=(*answer, told), figures=tuple(available[:SHOWN]))


def _halves(rows: pd.DataFrame) -> tuple[str, str]:
    """Names of the two variants that are compared."""
    half, full = (variant_label(rows[f"{side}_variant"].iloc[0]) for side in SIDES)
    return half, full


def points(tables: Path, spec: ComparisonSpec) -> pd.DataFrame:
    """One row per comparison of half width with full width at one (model, hookpoint), as in
    effects.csv; no row where the study has none."""
    if spec.has_effects:
        return read_table(tables / EFFECTS)
    table = read_table(tables / COMPARISON)
    number = next((setting.comparison for setting in spec.compared), None)
    rows = table[table["comparison"] == number]
    level = spec.first_level(None)
    dead = {f"dead_{side}": matched_column(level, "dead_fraction", side) for side in SIDES}
    known = {name: rows[column] for name, column in dead.items() if column in rows}
    return rows.assign(matched_l0=level, **known)


def on_r2(rows: pd.DataFrame, half: str, full: str, spec: ComparisonSpec) -> str:
    """At how many comparisons half width dominates, keeps up or falls behind in R2."""
    able = rows[rows["dominates"].notna()]
    if able.empty:
        return f"In R2 {half} and {full} cannot be compared: their sweeps share no L0."
    wins = able["dominates"].astype(bool)
    close = ~wins & (able["min_gap"] >= -MATCHED_WITHIN)
    behind = ~wins & ~close
    text = f"In R2, {half} at half the width strictly dominates {full} at {_of(wins, rows, spec)}"
    if close.any():
        text += f", is nowhere more than {MATCHED_WITHIN:g} behind at {close.sum()} more"
    if behind.any():
        text += f", falls further behind at {behind.sum()}"
    text += f" ({_gaps(able)})"
    apart = len(rows) - len(able)
    return text + (f"; at {apart} the sweeps share no L0." if apart else ".")


def _gaps(able: pd.DataFrame) -> str:
    """How far the sides are apart. R2 of a run that diverged may be any number: it is left out."""
    fallen = able["collapsed"] != ""
    if fallen.all():
        return "cells collapsed at all of them"
    sound = able[~fallen]
    text = f"smallest gap {span(sound['min_gap'])}, mean gap {span(sound['mean_gap'])}"
    return f"{text} where no cell collapsed; at {fallen.sum()} some did" if fallen.any() else text


def _of(which: pd.Series, rows: pd.DataFrame, spec: ComparisonSpec) -> str:
    """Such as "3 of 6 pairs of model and hookpoint"."""
    pairs = len(rows[["model", "hookpoint"]].drop_duplicates())
    if not spec.has_effects:
        return f"{which.sum()} of {pairs} pairs of model and hookpoint"
    where = f"{pairs} pairs of model and hookpoint, {len(spec.compared)} {noun(spec)}"
    return f"{which.sum()} of {len(rows)} comparisons ({where})"


def on_dead(rows: pd.DataFrame, half: str, full: str, spec: ComparisonSpec) -> str:
    """Where full width has dead latents, and how many fewer half width has there."""
    level = span(rows["matched_l0"], "{:g}".format)
    known = rows[rows["dead_baseline"].notna() & rows["dead_candidate"].notna()]
    unit = "comparisons" if spec.has_effects else "pairs"
    if known.empty:
        return f"On dead latents it says nothing: no sweep can be read off at L0 = {level}."
    some = known[known["dead_baseline"] > 0]
    if some.empty:
        return (
            f"On dead latents it says nothing: at L0 = {level} {full} has none at any of "
            f"{len(known)} {unit}."
        )
    drop = some["dead_baseline"] - some["dead_candidate"]
    return (
        f"At L0 = {level}, {full} has dead latents at {len(some)} of {len(known)} {unit}: "
        f"{half} has fewer at {(drop > 0).sum()} of them, and a dead fraction lower by the paper's "
        f"{DEAD_LOWER_BY:g} or more at {(drop >= DEAD_LOWER_BY).sum()} (largest drop "
        f"{signed(drop.max())})."
    )


def on_claims(tables: Path, spec: ComparisonSpec) -> str:
    """What became of the paper's claims."""
    if not spec.several_settings:
        found = read_table(tables / CLAIMS)["outcome"].value_counts()
        held, failed, left, missing = (found.get(o, 0) for o in (HOLDS, FAILS, OPEN, MISSING))
        rest = f", {missing} were not measured" if missing else ""
        return (
            f"Of {found.sum()} claims of the paper, {held} hold here, {failed} do not, {left} "
            f"cannot be decided{rest}."
        )
    matrix = read_table(tables / CLAIMS_MATRIX)
    by_claim = matrix.groupby("claim", sort=False)["outcome"].agg(set)
    held, failed, mixed = (
        sum({HOLDS, FAILS} & found == wanted for found in by_claim)
        for wanted in ({HOLDS}, {FAILS}, {HOLDS, FAILS})
    )
    left = len(by_claim) - held - failed - mixed
    text = (
        f"Of {len(by_claim)} claims of the paper, {held} hold under every setting that can decide "
        f"them, {failed} under none, and {mixed} under some"
    )
    return text + (f"; {left} could not be decided" if left else "") + _hang_on(matrix)


def _hang_on(matrix: pd.DataFrame) -> str:
    """The two factors on which the most claims hang, and the end of the sentence."""
    names = matrix.assign(factor=matrix["hangs_on"].str.split("; ")).explode("factor")
    counts = names[names["factor"] != ""].groupby("factor")["claim"].nunique()
    most = counts.sort_values(ascending=False, kind="stable")[:2]
    listed = " and ".join(
        f"{name} ({count} {'claim' if count == 1 else 'claims'})" for name, count in most.items()
    )
    return f". Most often a verdict hangs on {listed}." if listed else "."
