"""Effects in words: the tables that people read, and what moves each effect most."""

from __future__ import annotations

import pandas as pd

from pipeline.config.recipes import VARIANT_FACTOR
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.settings import Setting
from pipeline.tables.effects import EFFECTS
from pipeline.text.numbers import BLANK, Grid, format_number, signed, times, with_error

HOW_TO_READ = (
    "A point is one model and hookpoint under one recipe at one pair of widths. Each effect is an "
    "advantage of half-width SA-GSAE over full-width Gated: above zero it is better. The mean of a "
    "level is over all points that have it, whatever else they have, and its spread is their "
    "standard deviation. A difference (→) is between points of one model and hookpoint that "
    "differ in that factor and in no other: it compares like with like. The means need not, since "
    "the design is not fully crossed. Means and spreads leave out points with collapsed cells, "
    "which are counted: R2 of a run that diverged may be any number. The median, the least and the "
    "most are over all points."
)
SEEDS = (
    "± is one standard error over seeds, where there are several: from a bootstrap that draws the "
    "seeds of each sweep anew, for gaps and factors, and from the seeds' own frontiers for dead "
    "fractions. It covers neither models nor text."
)


def effect_parts(effects: pd.DataFrame, spec: ComparisonSpec) -> list[str | Grid]:
    """The effects under each setting."""
    parts: list[str | Grid] = [SEEDS]
    for setting in spec.compared:
        rows = effects[
            (effects["recipe"] == setting.recipe) & (effects["comparison"] == setting.comparison)
        ]
        parts.append(_grid(rows, f"{setting.named} ({levels_in_words(spec, setting)})"))
    return parts


def levels_in_words(spec: ComparisonSpec, setting: Setting) -> str:
    """Such as "b_dec_init zero, learning_rate 0.003"."""
    return ", ".join(f"{factor.name} {factor.levels[setting]}" for factor in spec.factors)


def _grid(rows: pd.DataFrame, title: str) -> Grid:
    heads = ("Smallest R2 gap", "Mean R2 gap", "Dominates", "Dead, both sides", "Lower by")
    reductions = ("Fewer dead at equal L0", "floored", "at equal lambda", "floored", "Collapsed")
    return Grid(
        title=title,
        columns=("Model", "Hookpoint", *heads, *reductions),
        rows=tuple(_row(row) for _, row in rows.iterrows()),
    )


def _row(row: pd.Series) -> tuple[str, ...]:
    dead = [format_number(row[f"dead_{side}"]) for side in ("candidate", "baseline")]
    return (
        row["model"],
        row["hookpoint"],
        with_error(row["min_gap"], row["min_gap_se"], signed),
        with_error(row["mean_gap"], row["mean_gap_se"], signed),
        BLANK if pd.isna(row["dominates"]) else "yes" if row["dominates"] else "no",
        BLANK if BLANK in dead else f"{dead[0]} against {dead[1]}",
        with_error(row["dead_drop"], row["dead_drop_se"], signed),
        *_reduction(row, "equal_l0"),
        *_reduction(row, "dead"),
        f"{row['candidate_collapsed']:.0f} against {row['baseline_collapsed']:.0f}",
    )


def _reduction(row: pd.Series, how: str) -> tuple[str, str]:
    points, left_out = row[f"{how}_points"], row[f"{how}_left_out"]
    if points:
        out = f", {left_out:.0f} left out" if left_out else ""
        return times(row[f"{how}_reduction"]), f"{row[f'{how}_floored']:.0f} of {points:.0f}{out}"
    return ("none dead" if left_out else BLANK), BLANK


def main_effect_parts(table: pd.DataFrame) -> list[str | Grid]:
    """What moves each effect, in a sentence and in a table."""
    parts: list[str | Grid] = [HOW_TO_READ]
    joined = table[table["together_with"] != ""].drop_duplicates("factor")
    for _, row in joined.iterrows():
        names = ", ".join(_others(row))
        parts.append(f"{row['factor']} changes together with {names}: nothing tells them apart.")
    for effect, rows in table.groupby("measure", sort=False):
        if rows["points"].sum():
            parts += [what_moves(rows), _main_grid(rows, EFFECTS[str(effect)])]
    return parts


def what_moves(rows: pd.DataFrame) -> str:
    """The variant's own effect beside the largest paired difference of each factor: medians, which
    one collapsed point does not decide."""
    own = rows[rows["factor"] == VARIANT_FACTOR].iloc[0]
    name = EFFECTS[own["measure"]]
    text = f"{name}: {signed(own['median'])}, the median of {own['points']:.0f} points"
    paired = rows[rows["against"] != ""]
    if paired.empty:
        return f"{text}. No two points differ in one factor alone."
    widest = paired.groupby("factor", sort=False)["median"].apply(
        lambda found: found.abs().idxmax()
    )
    largest = paired.loc[widest].sort_values("median", key=abs, ascending=False, kind="stable")
    moved = "; ".join(
        f"{row['factor']} by {signed(row['median'])} ({row['against']} → {row['level']}, "
        f"{row['points']:.0f} {'pair' if row['points'] == 1 else 'pairs'}{_fallen(row)})"
        for _, row in largest.iterrows()
    )
    return f"{text}. What moves it, in medians of paired differences: {moved}."


def _fallen(row: pd.Series) -> str:
    return f", {row['with_collapses']:.0f} with collapsed cells" if row["with_collapses"] else ""


def _main_grid(rows: pd.DataFrame, title: str) -> Grid:
    columns = (
        "Factor",
        "Level",
        "Points",
        "Mean",
        "Spread",
        "Median",
        "Least",
        "Most",
        "Collapsed",
    )
    return Grid(title=title, columns=columns, rows=tuple(_main_row(r) for _, r in rows.iterrows()))


def _others(row: pd.Series) -> list[str]:
    """The factors that change together with that of a row."""
    return [name for name in row["together_with"].split("; ") if name]


def _main_row(row: pd.Series) -> tuple[str, ...]:
    paired = bool(row["against"])
    level = f"{row['against']} → {row['level']}" if paired else row["level"]
    count = f"{row['points']:.0f} {'pairs' if row['points'] != 1 else 'pair'}"
    more = len(_others(row))
    return (
        f"{row['factor']} and {more} more" if more else row["factor"],
        level,
        count if paired else f"{row['points']:.0f}",
        signed(row["mean"]),
        BLANK if pd.isna(row["sd"]) else format_number(row["sd"]),
        *(signed(row[name]) for name in ("median", "least", "most")),
        f"{row['with_collapses']:.0f}",
    )
