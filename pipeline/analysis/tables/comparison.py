"""Tables of pairs of sweeps: comparison.csv, everything at equal L0; contrasts.csv, what tying, the
auxiliary loss, the second side and the width do, at equal lambda too; sources.csv and
comparison_by_source.csv, whether a result hangs on one kind of text.

Which pairs of sweeps are contrasted follows from the grid: every pair below whose two sides it
has. The candidate is the simpler side of a tie, the intact side of an ablation, the narrower side
of two widths.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from pipeline.analysis.columns import DOMINANCE, METRICS, Column
from pipeline.analysis.columns import SIDES as BOTH
from pipeline.analysis.numbers import matched_column, signed, sweep_label, times, variant_label
from pipeline.analysis.table import Table
from pipeline.analysis.tables.sweeps import (
    Metrics,
    Sweeps,
    collapses,
    joined,
    keys_under,
    sweeps_of,
    with_se,
)
from pipeline.study.cell import SweepKey
from pipeline.study.metrics import TRUTH
from pipeline.study.scope import MATCHED, SWEPT, Scope
from sagsae.autoencoders.registry import equal_knobs_compare
from sagsae.comparison.contrasts import contrast, shared_runs
from sagsae.comparison.dead_latents import DeadReduction, dead_reduction
from sagsae.comparison.dominance import dominance, matched, overlap
from sagsae.comparison.sweeps import Sweep

SIDES = ("candidate", "baseline")
# Which sweeps are compared, and where.
QUESTION = ["recipe", "model", "hookpoint", *BOTH.split()]
# What is read off at a matched L0 of known features -> its name in words.
KNOWN = MATCHED | {name: TRUTH[name] for name in ("f1", "mcc")}
# What does not depend on the matched L0 asked for.
ANSWERS = (
    "candidate_seeds baseline_seeds overlap_lo overlap_hi overlap_reason dominates p_dominance "
    "p_reason min_gap min_gap_se min_gap_l0 mean_gap mean_gap_se max_gap dead_reduction "
    "dead_ceiling dead_floored dead_points dead_left_out dead_reason collapsed"
)
GAP = "A gap is candidate minus baseline over the L0 that both reach; ± is one standard error."


def read_off(spec: Scope) -> dict[str, str]:
    """What comparisons read off at a matched L0; where features are known, how many were found."""
    return KNOWN if spec.truth else MATCHED


def matched_shown(spec: Scope, metrics: Mapping[str, str] | None = None) -> list[Column]:
    """Columns of each matched L0 that readers see: both sides, metric by metric, and why not."""
    columns = []
    for l0 in spec.matched_levels:
        for metric, label in (metrics or read_off(spec)).items():
            for side in SIDES:
                name = matched_column(l0, metric, side)
                columns.append(Column(name, f"{label} at {l0:g}, {side}"))
        columns.append(Column(f"l0_{l0:g}_reason", f"No value at {l0:g}"))
    return columns


def answers(spec: Scope, metrics: Mapping[str, str]) -> list[str]:
    """The columns that compare two sweeps, those of each matched L0 with standard errors."""
    columns = ANSWERS.split()
    for name in (column.name for column in matched_shown(spec, metrics)):
        columns += [name] if name.endswith("_reason") else [name, f"{name}_se"]
    return columns


COMPARISON = Table(
    "comparison",
    "Comparisons",
    reads=GAP,
    by=["comparison recipe"],
    columns=[
        f"model hookpoint {BOTH} {DOMINANCE}",
        Column("dead_reduction", "Dead fraction smaller by", times),
        "collapsed",
        matched_shown,
    ],
    texts="p_reason dead_reason l0_*_reason",
)


@COMPARISON.made_from("cells")
def comparison_table(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (comparison, recipe, model, hookpoint), recipes and models by name.

    Of several recipes, one under which neither side of a comparison is trained has no rows of it:
    they would repeat those of another recipe.

    Columns:
        overlap_lo, overlap_hi: the range of L0 that both sides reach
        dominates: strict dominance: R2 of the candidate is higher at every L0 of this range
        p_dominance: share of draws of seeds in which the candidate dominates
        min_gap, mean_gap: smallest and mean gap of R2 over this range
        min_gap_l0: where the gap is smallest
        dead_reduction: by which factor fewer latents are dead, at equal lambda
        dead_floored: points of dead_reduction with less than half a dead latent on one side
        dead_left_out: lambdas with less than half a dead latent on both sides
        collapsed: collapsed cells of both sides, and why
        l0_*_r2_candidate, l0_*_r2_baseline: R2 at a matched L0; likewise dead_fraction and
            loss_recovered
        l0_*_loss_added_candidate, l0_*_loss_added_baseline: nats a token that the language model
            loses by reconstructions, at a matched L0
        *_se: the standard error over seeds; empty with one seed
        *_reason: why a value is missing
    """
    sweeps, rows = sweeps_of(metrics), []
    for number, item in enumerate(spec.comparisons, start=1):
        for recipe, places in spec.trained.items():
            pairs = [spec.sides(item, recipe, *place) for place in places]
            trained = {key for pair in pairs for key in pair if key.recipe == recipe}
            if not spec.several or not sweeps.keys().isdisjoint(trained):
                levels = item.matched_l0
                answered = (
                    compared(sweeps, recipe, *pair, levels, read_off(spec)) for pair in pairs
                )
                rows += [{"comparison": number} | row for row in answered]
    return pd.DataFrame(rows, columns=["comparison", *QUESTION, *answers(spec, read_off(spec))])


def compared(
    sweeps: Sweeps,
    recipe: str,
    candidate: SweepKey,
    baseline: SweepKey,
    levels: Sequence[float],
    metrics: Iterable[str] = SWEPT,
) -> dict[str, Any]:
    """A row that compares two sweeps under a recipe, at some matched L0 too. A sweep that is not
    there leaves a reason."""
    keys = candidate, baseline
    asked = (recipe, *candidate[:2], *(end for key in keys for end in (key.variant, key.width)))
    row: dict[str, Any] = dict(zip(QUESTION, asked, strict=True))
    if missing := [sweep_label(key.variant, key.width) for key in keys if key not in sweeps]:
        row |= dict.fromkeys(("dead_floored", "dead_points", "dead_left_out"), 0)
        return row | {"overlap_reason": f"the grid has no {' and no '.join(missing)} here"}
    sides = sweeps[candidate], sweeps[baseline]
    verdict = dominance(*sides)
    if equal_knobs_compare(candidate.variant, baseline.variant):
        dead = dead_reduction(*sides)
    else:
        names = " and ".join(variant_label(key.variant) for key in keys)
        dead = DeadReduction(reason=f"an equal lambda or k means different things to {names}")
    row |= {f"{name}_seeds": side.seeds for name, side in zip(SIDES, sides, strict=True)}
    row |= {f"overlap_{name}": value for name, value in vars(overlap(*sides)).items()}
    row |= {f"dead_{name}": value for name, value in vars(dead).items()}
    row |= vars(verdict) | {"overlap_reason": verdict.reason, "dead_reduction": dead.factor}
    row["collapsed"] = joined(collapses(*sides).values())
    for l0 in levels:
        values = {metric: matched(*sides, metric, l0) for metric in metrics}
        for metric, value in values.items():
            for side in SIDES:
                row |= with_se(matched_column(l0, metric, side), getattr(value, side))
        row[f"l0_{l0:g}_reason"] = joined(value.reason for value in values.values())
    return row


# Kinds of contrast.
TYING, ABLATION, WIDTH = "tying", "ablation", "width"
# Kind, candidate and baseline at equal width. Widths: a variant at H and at 2H.
PAIRS = (
    (TYING, "sagsae_sym", "sagsae"),
    (TYING, "sagsae_tied", "sagsae_sym"),
    (TYING, "sagsae_tied", "sagsae"),
    (ABLATION, "sagsae_sym", "sagsae_noaux"),
    (ABLATION, "sagsae_tied", "sagsae_noaux"),
    (ABLATION, "sagsae_sym", "sagsae_onesided"),
    (ABLATION, "sagsae_tied", "sagsae_onesided"),
)
# What follows the metric in a column -> the field of a `Contrast`.
PER_METRIC = {
    "candidate": "candidate",
    "baseline": "baseline",
    "delta": "mean",
    "delta_se": "se",
    "delta_abs": "mean_abs",
    "delta_max": "max_abs",
}
CONTRASTED = ("l0", *SWEPT)
COUNTS = ["pairs", "intact_pairs", *(f"{side}_collapsed" for side in SIDES), "pairs_reason"]
CONTRASTS = Table(
    "contrasts",
    "Tying, ablations, width",
    reads="Δ is candidate minus baseline at equal lambda and seed.",
    by=["kind recipe"],
    columns=[
        f"model hookpoint {BOTH} pairs",
        Column("r2_delta_abs", "Mean |ΔR²|"),
        Column("r2_delta", "ΔR²", signed),
        Column("l0_delta", "ΔL0", signed),
        Column("dead_fraction_delta", "Δ dead fraction", signed),
        Column("loss_recovered_delta", "ΔLoss Recovered", signed),
        "dominates mean_gap candidate_collapsed baseline_collapsed",
    ],
    texts="*_reason",
)


@CONTRASTS.made_from("cells")
def contrast_table(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (recipe, pair of sweeps, model, hookpoint): at equal lambda and seed, and at
    equal L0. Differences are over the ``intact_pairs`` of runs, of which neither side collapsed."""
    sweeps = sweeps_of(metrics)
    rows = [
        {"kind": kind}
        | compared(sweeps, recipe, candidate, baseline, spec.matched_levels)
        | _at_equal_lambda(sweeps[candidate], sweeps[baseline])
        for recipe in spec.trained
        for kind, candidate, baseline in _pairs(keys_under(recipe, sweeps, spec))
    ]
    deltas = [f"{metric}_{what}" for metric in CONTRASTED for what in PER_METRIC]
    columns = ["kind", *QUESTION, *COUNTS, *deltas, *answers(spec, SWEPT)]
    return pd.DataFrame(rows, columns=columns)


def _pairs(under: Collection[SweepKey]) -> Iterator[tuple[str, SweepKey, SweepKey]]:
    """Kind, candidate and baseline among the sweeps under one recipe."""
    known = {(*key[:3], key.width): key for key in under}
    for kind, candidate, baseline in PAIRS:
        for key in under:
            other = known.get((*key[:2], baseline, key.width))
            if key.variant == candidate and other:
                yield kind, key, other
    for key in under:
        if other := known.get((*key[:3], 2 * key.width)):
            yield WIDTH, key, other


def _at_equal_lambda(candidate: Sweep, baseline: Sweep) -> dict[str, Any]:
    runs = set(shared_runs(candidate, baseline))
    contrasts = {metric: contrast(candidate, baseline, metric) for metric in CONTRASTED}
    row: dict[str, Any] = {
        f"{metric}_{what}": getattr(values, name)
        for metric, values in contrasts.items()
        for what, name in PER_METRIC.items()
    }
    for side, sweep in zip(SIDES, (candidate, baseline), strict=True):
        shared = (cell for cell in sweep.cells if (cell.lam, cell.seed) in runs)
        row[f"{side}_collapsed"] = sum(bool(cell.collapsed) for cell in shared)
    reason = joined(values.reason for values in contrasts.values())
    return row | {"pairs": len(runs), "intact_pairs": contrasts["l0"].pairs, "pairs_reason": reason}


# Columns of a comparison in R2. Dead latents and Loss Recovered are compared on all text only.
COMPARED = [
    name for name in ANSWERS.split() if name.startswith(("overlap", "p_", "min", "mean", "max"))
]
SOURCES = Table(
    "sources",
    "By source of text",
    reads="A row is one autoencoder on one source.",
    by=["model hookpoint"],
    columns=["variant recipe width lam k seed source share", METRICS],
    when=lambda scope: bool(scope.sources),
    exact=True,
)
BY_SOURCE = Table(
    "comparison_by_source",
    "Comparisons on each source of text",
    reads=GAP,
    by=["comparison recipe"],
    columns=[f"model hookpoint source {BOTH} {DOMINANCE}"],
    texts="p_reason",
    when=SOURCES.when,
)


@SOURCES.made_from("cells")
def source_table(metrics: Metrics) -> Iterator[dict[str, Any]]:
    """One row per (cell, source), with all that is measured on the source."""
    for cell in sorted(metrics):
        for name, record in metrics[cell].sources.items():
            yield asdict(cell) | {"source": name} | record.model_dump()


@BY_SOURCE.made_from("cells")
def comparison_by_source(metrics: Metrics, spec: Scope) -> pd.DataFrame:
    """One row per (comparison, model, hookpoint, source): the comparison in R2 on it alone.

    R2 is about the mean of the source's own rows, and L0 is that on the source. A source that some
    cell has no R2 on is left out.
    """
    columns = ["comparison", *QUESTION[:3], "source", *QUESTION[3:], "dominates", *COMPARED]
    parts = [pd.DataFrame(columns=columns)]
    for name in sorted({name for measured in metrics.values() for name in measured.sources}):
        records = {cell: measured.sources.get(name) for cell, measured in metrics.items()}
        on_source = {
            cell: metrics[cell].model_copy(update={"r2": record.r2, "l0": record.l0})
            for cell, record in records.items()
            if record is not None and record.r2 is not None
        }
        if len(on_source) == len(metrics):
            parts.append(comparison_table(on_source, spec).assign(source=name))
    table = pd.concat(parts[1:] or parts)[columns]
    return table.sort_index(kind="stable")  # sources of a question together
