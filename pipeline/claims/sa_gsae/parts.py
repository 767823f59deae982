"""Claims about parts of a variant, about tying, about its width, and about single latents."""

from __future__ import annotations

from collections.abc import Hashable

import pandas as pd

from pipeline.analysis import numbers
from pipeline.analysis.figures.specification import MATCHED_WITHIN
from pipeline.analysis.numbers import format_number, span, with_error
from pipeline.analysis.tables.comparison import ABLATION, SIDES, TYING, WIDTH
from pipeline.analysis.tables.sweeps import SWEEP
from pipeline.claims import claim as judging
from pipeline.claims.claim import Untestable, Verdict, claim, decided, measured, place
from pipeline.claims.evidence import Evidence
from pipeline.claims.sa_gsae.sweeps import (
    NO_MAIN,
    NO_RANGE,
    V1,
    V2,
    candidate_only,
    main_comparison,
)
from pipeline.study.dial import LATENT, PAIR, RANDOM
from pipeline.study.settings import PAPER_FAMILY, SIGN_AWARE
from sagsae.autoencoders.registry import stem
from sagsae.comparison.sweeps import Estimate
from sagsae.evaluation.steering.dial_scores import SYMMETRY, TIMES_RANDOM, is_dial


def trained(evidence: Evidence) -> Hashable:
    """The cells under a setting of the paper's variants, but those of Gated: on these alone rest
    claims that make no comparison with Gated."""
    cells = evidence.cells
    theirs = (cells["variant"].map(stem) == PAPER_FAMILY) & (cells["variant"] != "gated")
    names = [*SWEEP, "lam", "seed"]
    return frozenset(cells.loc[theirs, names].itertuples(index=False, name=None))


def over_seeds(cells: pd.DataFrame, column: str) -> Estimate:
    """Mean of a column over cells; its error over seeds, each averaged over its cells first."""
    by_seed = cells.groupby("seed")[column].mean()
    return Estimate(mean=float(cells[column].mean()), se=Estimate.of(by_seed).se)


def _told(estimate: Estimate) -> str:
    """In words, with a remark where one seed leaves it without error."""
    if estimate.se is None:
        return f"{format_number(estimate.mean)} (one seed)"
    return with_error(estimate.mean, estimate.se)


def _contrast(
    evidence: Evidence, kind: str, candidates: tuple[str, ...], baseline: str
) -> pd.DataFrame:
    """Rows of the first candidate that the study has against a baseline."""
    table = evidence.contrasts[evidence.contrasts["kind"] == kind]
    table = table[table["baseline_variant"] == baseline]
    first = next((name for name in candidates if name in set(table["candidate_variant"])), "")
    return table[table["candidate_variant"] == first]


def _without_auxiliary(evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Contrasts of an intact variant with the one without the loss, all cells of that one, and
    those of the intact variant at equal lambda and seed that did not collapse."""
    rows = _contrast(evidence, ABLATION, ("sagsae_sym", "sagsae_tied"), "sagsae_noaux")
    lacking = "the grid has no sagsae_noaux beside an intact variant of its width"
    measured(rows, lacking)
    cells, same = evidence.cells, ["model", "hookpoint", "width", "lam", "seed"]
    without = cells[cells["variant"] == "sagsae_noaux"]
    with_it = cells[cells["variant"] == rows["candidate_variant"].iloc[0]]
    with_it = with_it[with_it["collapsed"] == ""].merge(without[same], on=same)
    return rows, without, with_it


@claim(
    V1,
    trained,
    share=0.5,
    statement="Without the auxiliary loss the gate collapses",
    paper="Loss Recovered falls to 0.27",
    criterion="More than {share:words} of the runs without it collapse (R2 below 0.2, L0 below 1 "
    "or more than 95 % dead), and none of those with it at the same lambda and seed.",
)
def no_auxiliary(evidence: Evidence, share: float) -> Verdict:
    rows, cells, with_it = _without_auxiliary(evidence)
    without, intact, runs = (
        int(rows[name].sum()) for name in ("baseline_collapsed", "candidate_collapsed", "pairs")
    )
    here = f"{without} of {runs} runs collapse, {intact} with it"
    usable = cells[cells["loss_recovered"].notna()]
    if len(usable):
        here += f"; Loss Recovered {_told(over_seeds(usable, 'loss_recovered'))}, "
        here += f"{format_number(with_it['loss_recovered'].mean())} with it"
    return decided(without > share * runs and intact == 0, here)


@claim(
    V1,
    trained,
    least=0.95,
    statement="Without the auxiliary loss nearly all latents are dead",
    paper="98 % dead",
    criterion="The mean dead fraction without it is {least} or more, over all runs: that they "
    "collapse is what is claimed.",
)
def no_auxiliary_dead(evidence: Evidence, least: float) -> Verdict:
    _, cells, with_it = _without_auxiliary(evidence)
    dead, intact = over_seeds(cells, "dead_fraction"), with_it["dead_fraction"].mean()
    here = f"{_told(dead)} dead, {format_number(intact)} with it"
    return decided(dead.mean >= least, here)


@claim(
    V1,
    trained,
    statement="The two-sided gate is load-bearing",
    criterion="At equal width the intact gate strictly dominates the one-sided one in R2 on every "
    "pair.",
)
def two_sided(evidence: Evidence) -> Verdict:
    rows = _contrast(evidence, ABLATION, ("sagsae_sym", "sagsae_tied"), "sagsae_onesided")
    measured(rows, "the grid has no sagsae_onesided beside an intact variant of its width")
    none = "sagsae_onesided shares no L0 with the intact variant"
    rows, unread = judging.readable(rows, rows["dominates"].notna(), none)
    wins = int(rows["dominates"].sum())
    here = f"the intact gate dominates on {wins} of {len(rows)} pairs, mean R2 gap "
    here += span(rows["mean_gap"])
    dead = [format_number(rows[f"dead_fraction_{side}"].mean()) for side in SIDES]
    why = f"mean dead fraction {dead[0]} with both sides, {dead[1]} with one"
    return judging.decided_on_every(wins == len(rows), rows, unread, NO_RANGE, here, why)


# Mean |ΔR2| up to which two variants count as indistinguishable: a fifth of what the paper calls a
# match.
MATCH = MATCHED_WITHIN / 5


def _tied(evidence: Evidence, candidate: str, most: float) -> Verdict:
    rows = _contrast(evidence, TYING, (candidate,), "sagsae")
    lacking = f"the grid has no {candidate} and sagsae at equal width and lambda"
    rows = measured(rows[rows["pairs"] > 0], lacking)
    if not (runs := rows["intact_pairs"].sum()):
        raise Untestable("a side collapsed in every run")
    mean = float((rows["r2_delta_abs"] * rows["intact_pairs"]).sum() / runs)
    here = f"mean |ΔR2| {format_number(mean)} over {runs:.0f} intact runs at equal lambda"
    here += f" and seed, largest {format_number(rows['r2_delta_max'].max())}"
    error = rows["r2_delta_se"].dropna()
    some = f", standard error at most {format_number(error.max())}"
    here += some if len(error) else " (one seed)"
    why = f"R2 gap at equal L0 {span(rows['mean_gap'])}" if rows["mean_gap"].notna().any() else ""
    return decided(mean <= most, here, why)


@claim(
    V1,
    trained,
    most=MATCH,
    statement="Tying the two magnitude radii changes nothing",
    paper="|ΔR2| = 0.0015",
    criterion="Mean |ΔR2| of sagsae_sym against sagsae at equal lambda and seed is at most "
    "{most}, a fifth of what the paper calls a match.",
)
def tied_radii(evidence: Evidence, most: float) -> Verdict:
    return _tied(evidence, "sagsae_sym", most)


@claim(
    V2,
    trained,
    most=MATCH,
    statement="Tying radii, thresholds and offsets, the default of v2, changes nothing either",
    criterion="Mean |ΔR2| of sagsae_tied against sagsae is at most {most}, as in claim "
    "{claims[tied_radii]}.",
)
def tied_all(evidence: Evidence, most: float) -> Verdict:
    return _tied(evidence, "sagsae_tied", most)


@claim(
    V1,
    trained,
    statement="Full-width SA-GSAE reproducibly collapses at a residual stream",
    paper="at resid of SmolLM3-3B; v2: small initial thresholds and resets prevent it",
    criterion="At some resid, more runs collapse at 2H than at H, at equal lambda and seed.",
)
def full_width(evidence: Evidence) -> Verdict:
    table = evidence.contrasts
    widths = table[(table["kind"] == WIDTH) & table["candidate_variant"].isin(SIGN_AWARE)]
    rows = measured(
        widths[(widths["hookpoint"] == "resid") & (widths["pairs"] > 0)],
        "the grid has no sign-aware variant at 2H and H of one lambda and seed at resid",
    )
    wide, narrow = (int(rows[f"{name}_collapsed"].sum()) for name in ("baseline", "candidate"))
    here = f"{wide} of {rows['pairs'].sum():.0f} runs at 2H collapse, {narrow} at H"
    more = (rows["baseline_collapsed"] > rows["candidate_collapsed"]).any()
    return decided(bool(more), here)


@claim(
    V1,
    trained,
    statement="Half-width SA-GSAE never collapses",
    paper="never",
    criterion="No run of an intact sign-aware variant at the candidate's width collapses.",
)
def half_width(evidence: Evidence) -> Verdict:
    widths = pd.MultiIndex.from_frame(main_comparison(evidence)[["model", "candidate_width"]])
    cells = evidence.cells[evidence.cells["variant"].isin(SIGN_AWARE)]
    of_width = pd.MultiIndex.from_frame(cells[["model", "width"]]).isin(widths)
    cells = measured(cells[of_width], NO_MAIN)
    fallen = cells[cells["collapsed"] != ""]
    names = ", ".join(
        f"{place(row)} {row['variant']} lambda {row['lam']:g}" for _, row in fallen.iterrows()
    )
    return decided(fallen.empty, f"{len(fallen)} of {len(cells)} runs collapse", names)


@claim(
    V1,
    statement="Sign-awareness pays for its parameters even where two-sided latents are rare",
    criterion="On every pair the mean R2 gap between the candidate and Gated of its own width, "
    "which has as many parameters within 3 / (2d + 3), is above zero.",
)
def parameters(evidence: Evidence) -> Verdict:
    measured(main_comparison(evidence), NO_MAIN)
    rows = candidate_only(evidence, evidence.comparison, "candidate_")
    alike = rows["baseline_width"] == rows["candidate_width"]
    rows = rows[alike & (rows["baseline_variant"] == "gated")]
    measured(rows, "no comparison of it with Gated of its own width")
    rows, unread = judging.readable(rows, rows["dominates"].notna(), NO_RANGE)
    here = f"mean R2 gap at equal width {span(rows['mean_gap'])}"
    shares = candidate_only(evidence, evidence.parameters)["two_sided_share"]
    why = f"two-sided share of latents {span(shares, format_number)}"
    holds = bool((rows["mean_gap"] > 0).all())
    return judging.decided_on_every(holds, rows, unread, NO_RANGE, here, why)


def _latents(evidence: Evidence, hookpoint: str, *names: str) -> dict[str, pd.DataFrame]:
    """Quantity -> rows of the main candidate at a hookpoint, one per model.

    Raises Unmeasured where there is no such candidate, Untestable where one of ``names`` has none.
    """
    measured(main_comparison(evidence), NO_MAIN)
    rows = candidate_only(evidence, evidence.latents)
    rows = measured(rows[rows["hookpoint"] == hookpoint], f"nothing is compared at {hookpoint}")
    rows = rows[rows["cells"] > 0]
    quantities = {str(name): part.set_index("model") for name, part in rows.groupby("quantity")}
    if not quantities.keys() >= set(names):
        raise Untestable(f"no live latent at {hookpoint}")
    return quantities


def _by_model(rows: pd.DataFrame) -> str:
    return ", ".join(
        f"{model} {with_error(row['mean'], row['se'])}" for model, row in rows.iterrows()
    )


@claim(
    V1,
    trained,
    share=0.5,
    statement="At MLP outputs most latents carry both polarities",
    paper="most",
    criterion="At mlp_out of every model, more than {share:words} of the candidate's live latents "
    "fire with both signs (mean over the sweep).",
)
def mlp_polarity(evidence: Evidence, share: float) -> Verdict:
    quantities = _latents(evidence, "mlp_out", "bipolar_fraction")
    of_live, why = quantities["bipolar_fraction"], ""
    if "minority_share_median" in quantities:
        minority = span(quantities["minority_share_median"]["mean"], format_number)
        why = f"median minority share {minority}"
    here = f"two-sided share of live latents {_by_model(of_live)}"
    return decided(bool((of_live["mean"] > share).all()), here, why)


@claim(
    V1,
    trained,
    percent=1,
    statement="At attention outputs two-sidedness concentrates in a few top latents",
    paper="a small set of top latents",
    criterion="At attn of every model, two-sided latents are a larger share of the top {percent} "
    "% by contribution than of all live latents (means over the sweep).",
)
def attn_top(evidence: Evidence, percent: float) -> Verdict:
    names = f"top{percent:g}_bipolar_fraction", "bipolar_fraction"
    quantities = _latents(evidence, "attn", *names)
    top, all_live = (quantities[name] for name in names)
    here = f"two-sided share in the top {percent:g} % by contribution {_by_model(top)}; "
    here += f"of all live latents {_by_model(all_live)}"
    return decided(bool((top["mean"] > all_live["mean"]).all()), here)


@claim(
    V2,
    trained,
    share=0.5,
    symmetry=SYMMETRY,
    times=TIMES_RANDOM,
    statement="A single signed latent is a bidirectional causal dial",
    criterion="On every pair steered, more than {share:words} of the candidate's strongest "
    "latents that fire with both signs are dials. Such a latent moves the logit "
    "difference between the tokens that its two signs promote up at every step through "
    "zero, by at least {symmetry:words} as much on its weaker side as on its stronger "
    "one, and over the whole range by at least {times:words} times as much as the "
    "median random direction of the same norm. The tokens are chosen on contexts that "
    "are not measured.",
)
def causal_dial(evidence: Evidence, share: float, symmetry: float, times: float) -> Verdict:
    if evidence.dial is None:
        raise judging.Unmeasured("this study does not steer: its configuration has no section dial")
    table = measured(evidence.dial, "nothing was steered with under this recipe")
    dials = is_dial(table["monotone"], table["symmetry"], table["times_random"], symmetry, times)
    table = table.assign(dial=dials)
    rows = table[(table["kind"] == LATENT) & table["variant"].isin(SIGN_AWARE)]
    if rows.empty:
        raise Untestable("no sign-aware latent that fires with both signs was steered with")
    here = "dials: " + "; ".join(
        f"{model} {hookpoint} {_dials(part)}"
        for (model, hookpoint), part in rows.groupby(["model", "hookpoint"], sort=False)
    )
    here += f"; gain {span(rows['times_random'], numbers.times)} that of random directions"
    rest = table[table["kind"] != LATENT].groupby("kind")
    why = ", ".join(f"{_dials(part)} {BESIDE[str(kind)]}" for kind, part in rest)
    shares = rows.groupby(["model", "hookpoint"])["dial"].mean()
    lacking = table.groupby(["model", "hookpoint"]).size().index.difference(shares.index)
    if len(lacking):
        where = ", ".join(map(" ".join, lacking))
        why += f"; no latent fires with both signs at {where}"
    return decided(bool((shares > share).all()), here, why)


BESIDE = {PAIR: "opposite pairs of the baseline", RANDOM: "random directions"}


def _dials(rows: pd.DataFrame) -> str:
    return f"{int(rows['dial'].sum())} of {len(rows)}"
