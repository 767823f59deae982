"""Claims about parts of a variant, about tying, and about its width."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.figures.specification import MATCHED_WITHIN
from pipeline.analysis.numbers import format_number, span, with_error
from pipeline.analysis.tables.contrasts import ABLATION, TYING, WIDTH
from pipeline.claims.claim import Untestable, Verdict, claim, decided, decided_on_every, measured
from pipeline.claims.evidence import Evidence
from pipeline.claims.sa_gsae.compared import NO_MAIN, NO_RANGE, V1, V2, main_comparison
from pipeline.study.settings import SIGN_AWARE
from sagsae.comparison.sweeps import Estimate


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


@claim(V1, share=0.5)
def no_auxiliary(evidence: Evidence, share: float) -> Verdict:
    """Without the auxiliary loss the gate collapses.

    Paper: Loss Recovered falls to 0.27.

    More than {share:words} of the runs without it collapse (R2 below 0.2, L0 below 1 or more
    than 95 % dead), and none of those with it at the same lambda and seed.
    """
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


@claim(V1, least=0.95)
def no_auxiliary_dead(evidence: Evidence, least: float) -> Verdict:
    """Without the auxiliary loss nearly all latents are dead.

    Paper: 98 % dead.

    The mean dead fraction without it is {least} or more, over all runs: that they collapse is
    what is claimed.
    """
    _, cells, with_it = _without_auxiliary(evidence)
    found = over_seeds(cells, "dead_fraction")
    here = f"{_told(found)} dead, "
    here += f"{format_number(with_it['dead_fraction'].mean())} with it"
    return decided(found.mean >= least, here)


@claim(V1)
def two_sided(evidence: Evidence) -> Verdict:
    """The two-sided gate is load-bearing.

    At equal width the intact gate strictly dominates the one-sided one in R2 on every pair.
    """
    rows = _contrast(evidence, ABLATION, ("sagsae_sym", "sagsae_tied"), "sagsae_onesided")
    measured(rows, "the grid has no sagsae_onesided beside an intact variant of its width")
    unread, rows = rows[rows["dominates"].isna()], rows[rows["dominates"].notna()]
    if rows.empty:
        raise Untestable("sagsae_onesided shares no L0 with the intact variant")
    wins = int(rows["dominates"].sum())
    here = f"the intact gate dominates on {wins} of {len(rows)} pairs, mean R2 gap "
    here += span(rows["mean_gap"])
    dead = ", ".join(
        f"{format_number(rows[f'dead_fraction_{side}'].mean())} {words}"
        for side, words in (("candidate", "with both sides"), ("baseline", "with one"))
    )
    why = f"mean dead fraction {dead}"
    return decided_on_every(wins == len(rows), rows, unread, NO_RANGE, here, why)


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


@claim(V1, most=MATCH)
def tied_radii(evidence: Evidence, most: float) -> Verdict:
    """Tying the two magnitude radii changes nothing.

    Paper: |ΔR2| = 0.0015.

    Mean |ΔR2| of sagsae_sym against sagsae at equal lambda and seed is at most {most}, a fifth
    of what the paper calls a match.
    """
    return _tied(evidence, "sagsae_sym", most)


@claim(V2, most=MATCH)
def tied_all(evidence: Evidence, most: float) -> Verdict:
    """Tying radii, thresholds and offsets, the default of v2, changes nothing either.

    Mean |ΔR2| of sagsae_tied against sagsae is at most {most}, as in claim
    {claims[tied_radii]}.
    """
    return _tied(evidence, "sagsae_tied", most)


@claim(V1)
def full_width(evidence: Evidence) -> Verdict:
    """Full-width SA-GSAE reproducibly collapses at a residual stream.

    Paper: at resid of SmolLM3-3B; v2: small initial thresholds and resets prevent it.

    At some resid, more runs collapse at 2H than at H, at equal lambda and seed.
    """
    table = evidence.contrasts
    widths = table[(table["kind"] == WIDTH) & table["candidate_variant"].isin(SIGN_AWARE)]
    rows = measured(
        widths[(widths["hookpoint"] == "resid") & (widths["pairs"] > 0)],
        "the grid has no sign-aware variant at 2H and H of one lambda and seed at resid",
    )
    wide, narrow = (int(rows[f"{name}_collapsed"].sum()) for name in ("baseline", "candidate"))
    here = f"{wide} of {rows['pairs'].sum():.0f} runs at 2H collapse, {narrow} at H"
    found = bool((rows["baseline_collapsed"] > rows["candidate_collapsed"]).any())
    return decided(found, here)


@claim(V1)
def half_width(evidence: Evidence) -> Verdict:
    """Half-width SA-GSAE never collapses.

    Paper: never.

    No run of an intact sign-aware variant at the candidate's width collapses.
    """
    widths = main_comparison(evidence)[["model", "candidate_width"]].drop_duplicates()
    cells = evidence.cells.merge(
        widths, left_on=["model", "width"], right_on=["model", "candidate_width"]
    )
    cells = measured(cells[cells["variant"].isin(SIGN_AWARE)], NO_MAIN)
    fallen = cells[cells["collapsed"] != ""]
    names = ", ".join(
        f"{row['model']} {row['hookpoint']} {row['variant']} lambda {row['lam']:g}"
        for _, row in fallen.iterrows()
    )
    return decided(fallen.empty, f"{len(fallen)} of {len(cells)} runs collapse", names)
