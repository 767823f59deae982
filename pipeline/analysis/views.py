"""What readers see of each table: its columns, declared once, and what it is cut into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.analysis.numbers import share, signed, times, variant_label
from pipeline.analysis.tables.effects import EFFECTS
from pipeline.analysis.tables.sides import NO_RANGE, YES
from pipeline.study import outputs
from pipeline.study.dial import RANDOM
from pipeline.study.training import DEFAULT_RECIPE

# Column of a CSV -> its heading. Other columns have their names as headings.
HEADINGS = {
    "k": "k",
    "width": "H",
    "lam": "λ",
    "dead_fraction": "Dead",
    "loss_recovered": "Loss Recovered",
    "overlap_lo": "L0 from",
    "overlap_hi": "to",
    "p_dominance": "P(dominance)",
    "min_gap": "Smallest gap",
    "min_gap_l0": "at L0",
    "dead_reduction": "Fewer dead",
    "r2_delta_abs": "Mean |ΔR2|",
    "r2_delta": "ΔR2",
    "l0_delta": "ΔL0",
    "dead_fraction_delta": "ΔDead",
    "loss_recovered_delta": "ΔLoss Recovered",
    "two_sided_share": "Two-sided",
    "one_sided_lam": "One-sided λ",
    "one_sided_l0": "One-sided L0",
    "jumped": "Error jumped at step",
    "series": "Sweep",
    "statement": "Claim",
    "here": "This study",
    "why": "Remark",
} | EFFECTS
Form = Callable[[Any], str]
# Pattern of the names of columns -> how their values are written; elsewhere numbers at a usable
# precision and texts as they are.
FORMS: dict[str, Form] = {
    r"(.*_)?variant": variant_label,
    r"recipe": lambda name: name or DEFAULT_RECIPE,
    r"(.*_)?lam|(cell_)?k|(best_|worst_)?rank|of|first|latents": "{:g}".format,
    r"(min|mean)_gap|mean|median|least|most|effect_\w+": signed,
    r".*_(delta|difference(_low|_high)?|drop|log10)": signed,
    r"p_dominance|sign_p(_holm)?": share,
    r"dead_reduction|times_random": times,
    r"parameters|gated_equivalent_width|tokens_per_second": "{:,.0f}".format,
    r"monotone": "{:.0%}".format,
    r"mean_rank": "{:.1f}".format,
}
SWEEP = "model hookpoint variant recipe width "
CELL = f"{SWEEP}lam k seed "
SIDES = "candidate_variant candidate_width baseline_variant baseline_width "
METRICS = "l0 r2 dead_fraction loss_recovered "
DOMINANCE = (
    "overlap_lo overlap_hi dominates p_dominance min_gap min_gap_l0 mean_gap overlap_reason "
)
GAP = "A gap is candidate minus baseline over the L0 that both reach; ± is one standard error."


@dataclass(frozen=True, kw_only=True)
class View:
    """How a table is shown."""

    title: str
    # Their names; all where empty.
    columns: str = ""
    # Columns that cut it into tables of their own, in whose titles their values stand.
    by: str = ""
    # How to read it.
    reads: str = ""
    # Makes of the CSV the table whose columns are shown.
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = pd.DataFrame


def _quantities(table: pd.DataFrame) -> pd.DataFrame:
    """A row per sweep, with a column per quantity and its error."""
    wide = table.pivot(index=SWEEP.split(), columns="quantity")
    return wide["mean"].join(wide["se"].add_suffix("_se")).reset_index()


def _counts(table: pd.DataFrame) -> pd.DataFrame:
    """On how many pairs each sweep dominates each: a matrix under each recipe."""
    told = table.assign(able=table["outcome"] != NO_RANGE, won=table["outcome"] == YES)
    keys = ["recipe", "series", "against_series"]
    sums = told.groupby(keys, sort=False)[["won", "able"]].sum()
    text = sums["won"].astype(str) + "/" + sums["able"].astype(str)
    return text.unstack("against_series", sort=False).fillna("").reset_index()


def _by_setting(table: pd.DataFrame) -> pd.DataFrame:
    """A row per claim, a column per setting: its outcome, and the factors on which it hangs."""
    hangs = table["hangs_on"].map(lambda names: f" ({names})" if names else "")
    settings = "Recipe " + table["recipe"].map(FORMS["recipe"]) + " " + table["widths"]
    named = table.assign(setting=settings.str.strip(), told=table["outcome"] + hangs)
    return named.pivot_table(
        index="statement", columns="setting", values="told", aggfunc="first", sort=False
    ).reset_index()


VIEWS = {
    outputs.CELLS: View(title="Cells", columns=f"{CELL}{METRICS}collapsed jumped"),
    outputs.POINTS: View(
        title="Sweep points",
        reads="A row is a mean over seeds, or one seed where they lie far apart in L0.",
        columns=f"{SWEEP}lam k seeds seed {METRICS}collapsed",
    ),
    outputs.COMPARISON: View(
        title="Comparisons",
        reads=GAP,
        by="comparison recipe",
        columns=f"model hookpoint {SIDES}{DOMINANCE}dead_reduction collapsed matched",
    ),
    outputs.BY_SOURCE: View(
        title="Comparisons on each source of text",
        reads=GAP,
        by="comparison recipe",
        columns=f"model hookpoint source {SIDES}{DOMINANCE}",
    ),
    outputs.CONTRASTS: View(
        title="Tying, ablations, width",
        reads="Δ is candidate minus baseline at equal lambda and seed.",
        by="kind recipe",
        columns=f"model hookpoint {SIDES}pairs r2_delta_abs r2_delta l0_delta dead_fraction_delta "
        "loss_recovered_delta dominates mean_gap candidate_collapsed baseline_collapsed",
    ),
    outputs.LATENTS: View(
        title="Latents that fire with both signs",
        reads="A row is a mean over the cells of a sweep; ± is one standard error over seeds.",
        columns=f"{SWEEP}bipolar_fraction bipolar_firing_share minority_share_median "
        "top1_bipolar_fraction top10_bipolar_fraction top1_minority_share slope_positive_median "
        "slope_negative_median",
        prepare=_quantities,
    ),
    outputs.PARAMETERS: View(
        title="Parameter accounting",
        reads="Two signs pay for their parameters if the two-sided share is above break-even.",
    ),
    outputs.SOURCES: View(
        title="By source of text",
        reads="A row is one autoencoder on one source.",
        by="model hookpoint",
        columns=f"variant recipe width lam k seed source share {METRICS}",
    ),
    outputs.EFFECTS: View(
        title="Effects under each setting",
        reads="An effect above zero is an advantage of half-width SA-GSAE over full-width Gated.",
        by="recipe widths",
        columns=f"model hookpoint dominates {' '.join(EFFECTS)} dead_candidate dead_baseline "
        "collapsed",
    ),
    outputs.MAIN_EFFECTS: View(
        title="What moves each effect",
        reads="A row of one level is a mean over its points. A row of two levels is the mean "
        "difference between points that differ in that factor alone.",
        by="measure",
    ),
    outputs.DIAL: View(
        title="Causal dial",
        reads="An effect is the change of the logit difference at the largest size of one sense. "
        "A dial rises at every step, and further than random directions.",
        by="recipe model hookpoint comparison",
        columns="kind variant seed latent_plus latent_minus monotone symmetry effect_minus "
        "effect_plus times_random dial",
        prepare=lambda table: table[table["kind"] != RANDOM],
    ),
    outputs.PROBING: View(
        title="Sparse probing",
        reads="Accuracy is that of a probe on k sides of a code; 0.5 is chance. The probe of "
        "Neurons has k coordinates of the activation, the probe of Dense has all.",
        by="recipe model hookpoint",
        columns="variant recipe width lam cell_k l0 k accuracy latents neurons dense",
        prepare=lambda table: table[table["kind"] == "all"],
    ),
    outputs.ABSORPTION: View(
        title="Feature absorption",
        reads="A fraction is a mean over the letters that could be judged; less is better.",
    ),
    outputs.CONSISTENCY: View(
        title="Seed consistency",
        reads="Means of the best cosine of a live latent with one of another seed, and of that in "
        "one-to-one pairs. Found: the share with .7 or more in every seed that is not collapsed.",
        by="recipe model hookpoint",
        columns="variant width lam k l0 seeds greedy assigned found collapsed",
    ),
    outputs.POLES: View(
        title="Poles of two-sided latents",
        reads="Shares of the latents whose rarer sign has a tenth of the firings: both poles, one "
        "or neither have a match in the one-sided dictionary of twice the width. Its pairs of live "
        "latents are opposite at a cosine of -.7, alike at .7.",
        by="recipe model hookpoint",
        columns="variant width lam k seed l0 two_sided_share latents both_share one_share "
        "neither_share along stronger weaker one_sided_lam one_sided_l0 one_sided_opposite "
        "one_sided_alike",
    ),
    outputs.STARTS: View(
        title="Dead latents by where they began",
        reads="Shares of dead latents: of all, and of the quarters whose first rows point most "
        "against and most along the mean of the activations.",
        by="recipe model hookpoint",
        columns="variant width lam k seed l0 dead dead_against dead_along",
    ),
    outputs.RANKING: View(
        title="All against all",
        reads="A rank is by R2 at one L0, read off each frontier. Best and worst rank count only "
        "sweeps that differ by more than two standard errors, and by more than a linear and a "
        "quadratic reading of either.",
        by="recipe model hookpoint l0",
        columns="series rank of best_rank worst_rank r2 loss_recovered dead_fraction accuracy_1 "
        "absorption parameters tokens_per_second error_from rank_reason collapsed",
    ),
    outputs.RANKING_SUMMARY: View(
        title="Mean ranks",
        reads="A sweep has a mean rank if it is ranked at every pair of model and hookpoint. The "
        "interval holds 95 % of the means over pairs that are drawn anew.",
        by="recipe l0",
    ),
    outputs.DOMINANCE: View(
        title="Which sweep dominates which",
        reads="2/5: the row strictly dominates the column on two of the five pairs of model and "
        "hookpoint where both reach some L0.",
        by="recipe",
        prepare=_counts,
    ),
    outputs.SIDES: View(
        title="Two sides at half the width",
        reads="A difference is two sides minus one; a row without a model is over all pairs. An "
        "interval holds 95 % of draws of seeds; one seed has none.",
        by="recipe l0",
        columns="series model hookpoint r2_difference r2_difference_low r2_difference_high "
        "equal_within loss_recovered_difference dead_candidate dead_baseline min_gap mean_gap "
        "outcome positive pairs sign_p sign_p_holm",
    ),
    outputs.SIGN_RATES: View(
        title="What a sign is worth in width",
        reads="Rate: the width at which one side does as well as two, over the width of two. An "
        "interval holds 95 % of draws of seeds; an empty end lies beyond the widths trained.",
        by="recipe l0 family measure",
        columns="model hookpoint width multiple seeds value one_sided difference difference_low "
        "difference_high equal_within rate rate_low rate_high bound",
    ),
    outputs.CLAIMS_MATRIX: View(
        title="Claims under all settings",
        reads="A column is a setting: a recipe and the widths compared. Brackets name the factors "
        "on which a verdict hangs: another level of that factor alone turns it.",
        prepare=_by_setting,
    ),
    outputs.CLAIMS: View(
        title="Claims",
        reads="± is one standard error: over seeds for means, from a bootstrap over seeds for "
        "gaps.",
        by="recipe widths",
        columns="statement paper source here outcome why reference",
    ),
}
