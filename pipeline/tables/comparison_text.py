"""Comparisons in words: the headline, the tables that people read, the notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.study.comparison_spec import SWEPT, ComparisonSpec
from pipeline.text.numbers import (
    BLANK,
    Grid,
    format_number,
    matched_column,
    share,
    signed,
    span,
    times,
    variant_label,
    with_error,
)


@dataclass(frozen=True, kw_only=True)
class View:
    """One comparison, ready to be shown: the same words in every place that shows it."""

    title: str
    headline: str
    dominance: Grid
    matched: tuple[Grid, ...]
    """One a matched L0 that lies inside some overlap; the notes say why others are missing."""
    notes: tuple[str, ...]


def views(table: pd.DataFrame, spec: ComparisonSpec) -> list[View]:
    """Each comparison of comparison.csv in words, one recipe after the other.

    A recipe that concerns neither side is left out: the rows are those of the one that it extends.
    So is one under which the grid has not both sides anywhere, if it has them under another.
    """
    result = []
    made = table[table["candidate_seeds"].notna()]
    trained = {*zip(made["comparison"], made["recipe"], strict=True)}
    compared = {number for number, _ in trained}
    for (number, recipe), rows in table.groupby(["comparison", "recipe"], sort=False):
        comparison = spec.comparisons[int(str(number)) - 1]
        variants = [side.variant for side in (comparison.candidate, comparison.baseline)]
        if str(recipe) not in [spec.home(str(recipe), variant) for variant in variants]:
            continue
        if number in compared and (number, recipe) not in trained:
            continue
        names = [variant_label(variant) for variant in variants]
        levels = {l0: spec.titled(f"At L0 = {l0:g}", str(recipe)) for l0 in comparison.matched_l0}
        grids = tuple(_matched(rows, l0, title, names) for l0, title in levels.items())
        result.append(
            View(
                title=spec.titled(title(rows), str(recipe)),
                headline=headline(rows),
                dominance=_dominance(rows, spec.titled("R2 over the shared L0 range", str(recipe))),
                matched=tuple(grid for grid in grids if _answered(grid)),
                notes=tuple(_notes(rows, comparison.matched_l0)),
            )
        )
    return result


def _answered(grid: Grid) -> bool:
    return any(text != BLANK for row in grid.rows for text in row[2:])


def title(rows: pd.DataFrame) -> str:
    """Candidate against baseline with their widths."""
    sides = []
    for side in ("candidate", "baseline"):
        widths = sorted(set(rows[f"{side}_width"]))
        name = variant_label(rows[f"{side}_variant"].iloc[0])
        sides.append(f"{name}, H = {' / '.join(str(width) for width in widths)}")
    return " against ".join(sides)


def headline(rows: pd.DataFrame) -> str:
    """What one comparison found, in sentences computed from its rows."""
    candidate = variant_label(rows["candidate_variant"].iloc[0])
    baseline = variant_label(rows["baseline_variant"].iloc[0])
    compared = rows[rows["dominates"].notna()]
    if compared.empty:
        return f"{candidate} and {baseline} cannot be compared: no common L0 range anywhere."
    wins = compared[compared["dominates"].astype(bool)]
    text = (
        f"{candidate} {_width_phrase(rows)} strictly dominates {baseline} in R2 on {len(wins)} of "
        f"{len(rows)} (model, hookpoint) {'pair' if len(rows) == 1 else 'pairs'}"
    )
    if len(wins):
        text += f": the smallest gap there is {span(wins['min_gap'])}"
        text += f", the mean gap {span(wins['mean_gap'])}"
    sentences = [text + "."]
    for _, row in compared[~compared["dominates"].astype(bool)].iterrows():
        sentences.append(
            f"It does not on {row['model']} {row['hookpoint']}, where the gap falls to "
            f"{signed(row['min_gap'])} at L0 = {format_number(row['min_gap_l0'])} "
            f"(mean {signed(row['mean_gap'])})."
        )
    missing = len(rows) - len(compared)
    if missing:
        sentences.append(f"On {missing} of {len(rows)} there is no common L0 range to compare on.")
    return " ".join([*sentences, *_hedges(compared)])


def _hedges(compared: pd.DataFrame) -> list[str]:
    hedges = []
    seeds = compared[["candidate_seeds", "baseline_seeds"]].to_numpy()
    if seeds.min() < 2:
        which = "There is one seed per cell" if seeds.max() < 2 else "Some sweeps have one seed"
        hedges.append(f"{which}, so no standard error and no P(dominance): single observations.")
    else:
        won = compared.loc[compared["dominates"].astype(bool), "p_dominance"].dropna()
        shown = f"; where it dominates, P(dominance) is {span(won, share)}" if len(won) else ""
        least = "" if seeds.min() == seeds.max() else "at least "
        hedges.append(f"Points are means over {least}{seeds.min():.0f} seeds{shown}.")
    fallen = int((compared["collapsed"] != "").sum())
    if fallen:
        hedges.append(f"Collapsed cells take part in {fallen} of the pairs; they are named below.")
    return hedges


def _width_phrase(rows: pd.DataFrame) -> str:
    ratios = set(rows["candidate_width"] / rows["baseline_width"])
    if len(ratios) != 1:
        return "at its widths"
    ratio = ratios.pop()
    words = {0.5: "at half the width", 1.0: "at the same width", 2.0: "at twice the width"}
    return words.get(ratio, f"at {ratio:.3g} times the width")


def _dominance(rows: pd.DataFrame, title: str) -> Grid:
    dominance = ("L0 overlap", "Dominates", "P(dominance)", "Smallest gap", "at L0", "Mean gap")
    return Grid(
        title=title,
        columns=("Model", "Hookpoint", *dominance, "Fewer dead", "Floored"),
        rows=tuple(
            (
                row["model"],
                row["hookpoint"],
                overlap_text(row),
                BLANK if pd.isna(row["dominates"]) else "yes" if row["dominates"] else "no",
                share(row["p_dominance"]),
                with_error(row["min_gap"], row["min_gap_se"], signed),
                format_number(row["min_gap_l0"]),
                with_error(row["mean_gap"], row["mean_gap_se"], signed),
                times(row["dead_reduction"]) if row["dead_points"] else _none_dead(row),
                _floored(row),
            )
            for _, row in rows.iterrows()
        ),
    )


def _none_dead(row: pd.Series) -> str:
    return "none dead" if row["dead_left_out"] else BLANK


def _floored(row: pd.Series) -> str:
    points = row["dead_points"]
    return f"{row['dead_floored']:.0f} of {points:.0f}" if points else BLANK


def overlap_text(row: pd.Series) -> str:
    if pd.isna(row["overlap_lo"]):
        return "none"
    return f"{format_number(row['overlap_lo'])} to {format_number(row['overlap_hi'])}"


def _matched(rows: pd.DataFrame, l0: float, title: str, names: Sequence[str]) -> Grid:
    pairs = [(metric, side) for metric in SWEPT for side in ("candidate", "baseline")]
    heads = [f"{label}, {name}" for label in SWEPT.values() for name in names]
    cells = [matched_column(l0, metric, side) for metric, side in pairs]
    return Grid(
        title=title,
        columns=("Model", "Hookpoint", *heads),
        rows=tuple(
            (row["model"], row["hookpoint"], *(_value(row, cell) for cell in cells))
            for _, row in rows.iterrows()
        ),
    )


def _value(row: pd.Series, column: str) -> str:
    text = with_error(row[column], row[f"{column}_se"])
    noisy = "_loss_recovered_" in column and text != BLANK and row["lr_noisy"]
    return f"{text} (noise)" if noisy else text


def _notes(rows: pd.DataFrame, matched_l0: Sequence[float]) -> list[str]:
    """Why a field is empty or weak, one line per distinct reason, and the collapsed cells."""
    columns = {
        "overlap_reason": "No comparison",
        "p_reason": "No P(dominance)",
        "dead_reason": "Dead latents",
        **{f"l0_{l0:g}_reason": f"At L0 = {l0:g}" for l0 in matched_l0},
        "collapsed": "Collapsed cells",
    }
    notes: dict[str, list[str]] = {}
    for column, lead in columns.items():
        for _, row in rows.iterrows():
            if not pd.isna(row[column]) and row[column]:
                where = f"{row['model']} {row['hookpoint']}"
                notes.setdefault(f"{lead}: {row[column]}", []).append(where)
    return [f"{text}. ({_where(where, len(rows))})" for text, where in notes.items()]


def _where(places: Sequence[str], rows: int) -> str:
    return "everywhere" if len(places) == rows > 1 else "; ".join(places)
