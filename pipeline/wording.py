"""Comparisons in words: labels, numbers, the headline and the tables that people read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.metrics import ComparisonSpec
from pipeline.study import FIGURES

VARIANT_LABELS = {
    "gated": "Gated",
    "sagsae": "SA-GSAE",
    "sagsae_sym": "SA-GSAE symmetric",
    "sagsae_tied": "SA-GSAE tied",
    "sagsae_noaux": "SA-GSAE without auxiliary loss",
    "sagsae_onesided": "SA-GSAE one-sided",
    "abstopk": "AbsTopK",
    "topk": "TopK",
    "batchtopk": "BatchTopK",
    "jumprelu": "JumpReLU",
    "matryoshka_batchtopk": "Matryoshka BatchTopK",
    "relu": "ReLU",
}
COMPARISON = "comparison.csv"
BLANK = "–"


def variant_label(variant: str) -> str:
    return VARIANT_LABELS.get(variant, variant)


def sweep_label(variant: str, width: int) -> str:
    return f"{variant_label(variant)}, H = {width}"


def plain(value: float) -> str:
    """A magnitude (L0, R2, a share) at the precision a reader can use; a dash for no value."""
    if pd.isna(value):
        return BLANK
    if value == 0:
        return "0"
    size = abs(value)
    if size < 0.001:
        return f"{value:.1e}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3f}"


def signed(value: float) -> str:
    """A gap, always with its sign."""
    if pd.isna(value):
        return BLANK
    return f"{value:+.1e}" if 0 < abs(value) < 0.0005 else f"{value:+.3f}"


def share(value: float) -> str:
    """A probability."""
    return BLANK if pd.isna(value) else f"{value:.2f}"


def times(value: float) -> str:
    """A ratio such as 120x."""
    if pd.isna(value):
        return BLANK
    return f"{value:,.0f}x" if value >= 10 else f"{value:.2g}x"


TEXTS = re.compile(
    r"model|hookpoint|(.*_)?variant|collapsed|.*_reason|made_from_.*|.*_d(evice|type)"
)
"""Columns that stay text whatever they look like: a digest may read as a number."""


def read_table(path: Path) -> pd.DataFrame:
    """A CSV of the tables folder with its types; an empty text is "", an empty number is NaN."""
    names = pd.read_csv(path, nrows=0).columns
    types = {name: "str" for name in names if TEXTS.fullmatch(name)} | {"dominates": "boolean"}
    table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    return table.fillna({name: "" for name, kind in types.items() if kind == "str"})


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


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
    """Each comparison of comparison.csv in words."""
    result = []
    for number, comparison in enumerate(spec.comparisons, start=1):
        rows = table[table["comparison"] == number]
        names = [
            variant_label(side.variant) for side in (comparison.candidate, comparison.baseline)
        ]
        grids = tuple(_matched(rows, l0, names) for l0 in comparison.matched_l0)
        result.append(
            View(
                title=title(rows),
                headline=headline(rows),
                dominance=_dominance(rows),
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
        text += f": the smallest gap there is {_span(wins['min_gap'])}"
        text += f", the mean gap {_span(wins['mean_gap'])}"
    sentences = [text + "."]
    for _, row in compared[~compared["dominates"].astype(bool)].iterrows():
        sentences.append(
            f"It does not on {row['model']} {row['hookpoint']}, where the gap falls to "
            f"{signed(row['min_gap'])} at L0 = {plain(row['min_gap_l0'])} "
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
        shown = f"; where it dominates, P(dominance) is {_span(won, share)}" if len(won) else ""
        least = "" if seeds.min() == seeds.max() else "at least "
        hedges.append(f"Points are means over {least}{seeds.min():.0f} seeds{shown}.")
    fallen = int((compared["collapsed"] != "").sum())
    if fallen:
        hedges.append(f"Collapsed cells take part in {fallen} of the pairs; they are named below.")
    if (compared["overlap_lo"] == compared["overlap_hi"]).any():
        hedges.append("Where the overlap is a single L0, dominance rests on that one point.")
    return hedges


def _width_phrase(rows: pd.DataFrame) -> str:
    ratios = set(rows["candidate_width"] / rows["baseline_width"])
    if len(ratios) != 1:
        return "at its widths"
    ratio = ratios.pop()
    words = {0.5: "at half the width", 1.0: "at the same width", 2.0: "at twice the width"}
    return words.get(ratio, f"at {ratio:.3g} times the width")


def _span(values: pd.Series, shown: Callable[[float], str] = signed) -> str:
    low, high = shown(values.min()), shown(values.max())
    return low if low == high else f"{low} to {high}"


def _dominance(rows: pd.DataFrame) -> Grid:
    columns = (
        "Model",
        "Hookpoint",
        "L0 overlap",
        "Dominates",
        "P(dominance)",
        "Smallest gap",
        "at L0",
        "Mean gap",
        "Fewer dead",
        "Floored",
    )
    return Grid(
        title="R2 over the shared L0 range",
        columns=columns,
        rows=tuple(
            (
                row["model"],
                row["hookpoint"],
                overlap_text(row),
                BLANK if pd.isna(row["dominates"]) else "yes" if row["dominates"] else "no",
                share(row["p_dominance"]),
                signed(row["min_gap"]),
                plain(row["min_gap_l0"]),
                signed(row["mean_gap"]),
                "none dead" if _uninformative(row) else times(row["dead_reduction"]),
                _floored(row),
            )
            for _, row in rows.iterrows()
        ),
    )


def _uninformative(row: pd.Series) -> bool:
    """Neither side has dead latents: the ratio is that of the floors."""
    return bool(row["dead_points"] > 0 and row["dead_floored"] == row["dead_points"])


def _floored(row: pd.Series) -> str:
    points = row["dead_points"]
    return f"{row['dead_floored']:.0f} of {points:.0f}" if points else BLANK


def overlap_text(row: pd.Series) -> str:
    if pd.isna(row["overlap_lo"]):
        return "none"
    return f"{plain(row['overlap_lo'])} to {plain(row['overlap_hi'])}"


def matched_column(l0: float, metric: str, side: str) -> str:
    """Column of comparison.csv that holds one metric at one matched L0."""
    return f"l0_{l0:g}_{metric}_{side}"


def _matched(rows: pd.DataFrame, l0: float, names: Sequence[str]) -> Grid:
    pairs = [(metric, side) for metric in FIGURES for side in ("candidate", "baseline")]
    heads = [f"{label}, {name}" for label in FIGURES.values() for name in names]
    cells = [matched_column(l0, metric, side) for metric, side in pairs]
    return Grid(
        title=f"At L0 = {l0:g}",
        columns=("Model", "Hookpoint", *heads),
        rows=tuple(
            (row["model"], row["hookpoint"], *(_value(row, cell) for cell in cells))
            for _, row in rows.iterrows()
        ),
    )


def _value(row: pd.Series, column: str) -> str:
    text = plain(row[column])
    noisy = "_loss_recovered_" in column and text != BLANK and row["lr_noisy"]
    return f"{text} (noise)" if noisy else text


def _notes(rows: pd.DataFrame, matched_l0: Sequence[float]) -> list[str]:
    """Why a field is empty or weak, one line a distinct reason, and the collapsed cells."""
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
