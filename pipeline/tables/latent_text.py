"""Contrasts, latents and parameters in words: the tables that people read."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.outputs import ABLATION, TYING, WIDTH
from pipeline.tables.sweeps import SWEEP
from pipeline.text.numbers import (
    BLANK,
    Grid,
    format_number,
    matched_column,
    signed,
    variant_label,
    with_error,
)

READS = {
    TYING: "Candidate minus baseline: what tying more changes.",
    ABLATION: "Candidate minus baseline: what the part that the baseline lacks is worth.",
    WIDTH: "Candidate minus baseline: H minus 2H.",
}
CONTRAST_HEADS = (
    *("Model", "Hookpoint", "Runs", "Mean |ΔR2|", "ΔR2", "ΔL0", "ΔDead", "ΔLoss Recovered"),
    *("Dominates", "Mean gap", "Collapsed"),
)
LATENT_HEADS = {
    "bipolar_fraction": "Two-sided",
    "bipolar_firing_share": "by firing",
    "minority_share_median": "Median minority share",
    "top1_bipolar_fraction": "Two-sided, top 1 %",
    "top10_bipolar_fraction": "top 10 %",
    "top1_minority_share": "Minority share, top 1 %",
    "slope_positive_median": "Slope, z > 0",
    "slope_negative_median": "z < 0",
}


def contrast_title(kind: str, candidate: str, baseline: str) -> str:
    """Such as "Tying: SA-GSAE tied against SA-GSAE symmetric"."""
    against = "at H against 2H" if kind == WIDTH else f"against {variant_label(baseline)}"
    return f"{kind.capitalize()}: {variant_label(candidate)} {against}"


def contrast_grids(table: pd.DataFrame, spec: ComparisonSpec) -> list[Grid]:
    """One per pair of variants: each (model, hookpoint) at equal lambda and seed, and at equal L0.

    A matched L0 that no row answers has no column. Widths have one where some place has several
    rows. A recipe that concerns neither side is left out: the rows are those of the one that it
    extends.
    """
    grids = []
    for group, rows in table.groupby(
        ["recipe", "kind", "candidate_variant", "baseline_variant"], sort=False
    ):
        recipe, kind, candidate, baseline = map(str, group)
        if recipe not in [spec.home(recipe, variant) for variant in (candidate, baseline)]:
            continue
        gaps = {l0: _matched_gap(rows, l0) for l0 in spec.matched_levels}
        gaps = {l0: gap for l0, gap in gaps.items() if gap.notna().any()}
        widths = bool(rows.duplicated(["model", "hookpoint"]).any())
        place, heads = CONTRAST_HEADS[:2], CONTRAST_HEADS[2:]
        columns = (*place, *["Widths"] * widths, *heads)
        grids.append(
            Grid(
                title=spec.titled(contrast_title(kind, candidate, baseline), recipe),
                columns=(*columns, *(f"ΔR2 at L0 = {l0:g}" for l0 in gaps)),
                rows=tuple(
                    (*_contrast_row(row, widths), *(signed(gap.iloc[i]) for gap in gaps.values()))
                    for i, (_, row) in enumerate(rows.iterrows())
                ),
            )
        )
    return grids


def _matched_gap(rows: pd.DataFrame, l0: float) -> pd.Series:
    candidate, baseline = (matched_column(l0, "r2", side) for side in ("candidate", "baseline"))
    return rows[candidate] - rows[baseline]


def _contrast_row(row: pd.Series, widths: bool) -> tuple[str, ...]:
    deltas = (
        with_error(row[f"{metric}_delta"], row[f"{metric}_delta_se"], signed)
        for metric in ("r2", "l0", "dead_fraction", "loss_recovered")
    )
    noisy = row["lr_noisy"] and not pd.isna(row["loss_recovered_delta"])
    answered = not pd.isna(row["dominates"])
    r2, l0, dead, recovered = deltas
    return (
        row["model"],
        row["hookpoint"],
        *[f"{row['candidate_width']} against {row['baseline_width']}"] * widths,
        f"{row['pairs']:.0f}",
        format_number(row["r2_delta_abs"]),
        r2,
        l0,
        dead,
        f"{recovered} (noise)" if noisy else recovered,
        ("yes" if row["dominates"] else "no") if answered else BLANK,
        signed(row["mean_gap"]),
        f"{row['candidate_collapsed']:.0f} against {row['baseline_collapsed']:.0f}",
    )


def latent_grid(table: pd.DataFrame, several: bool) -> Grid:
    """Census and calibration, a row per sweep: means over cells with errors over seeds.

    ``several``: whether the study has several recipes.
    """
    rows = []
    for sweep, found in table.groupby(list(SWEEP), sort=False):
        text = {
            row["quantity"]: with_error(row["mean"], row["se"]) for row in found.to_dict("records")
        }
        rows.append((*sweep_names(sweep, several), *(text[name] for name in LATENT_HEADS)))
    columns = (*sweep_heads(several), *LATENT_HEADS.values())
    return Grid(title="Latents that fire with both signs", columns=columns, rows=tuple(rows))


def sweep_heads(several: bool) -> tuple[str, ...]:
    """Columns that name a sweep; its recipe where there are several."""
    return ("Model", "Hookpoint", "Variant", *["Recipe"] * several, "H")


def sweep_names(sweep: Sequence[object], several: bool) -> tuple[str, ...]:
    """What ``sweep_heads`` stand for, of one sweep."""
    model, hookpoint, variant, recipe, width = (str(part) for part in sweep)
    return model, hookpoint, variant_label(variant), *[recipe or DEFAULT_RECIPE] * several, width


def parameter_grid(table: pd.DataFrame, several: bool) -> Grid:
    """Parameters, the share of two-sided latents from which they pay, the share there is.

    ``several``: whether the study has several recipes.
    """
    rows = []
    for row in table.to_dict("records"):
        equivalent = row["gated_equivalent_width"]
        rows.append(
            (
                *sweep_names([row[name] for name in SWEEP], several),
                f"{row['parameters']:,}",
                str(row["parameters_per_latent"]),
                format_number(row["break_even_share"]),
                with_error(row["two_sided_share"], row["two_sided_share_se"]),
                BLANK if pd.isna(equivalent) else f"{equivalent:.0f}",
            )
        )
    heads = ("Parameters", "a latent", "Break-even share", "Two-sided share", "Gated equivalent H")
    return Grid(
        title="Parameter accounting",
        columns=(*sweep_heads(several), *heads),
        rows=tuple(rows),
    )
