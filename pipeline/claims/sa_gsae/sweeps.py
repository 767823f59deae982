"""Claims about the main comparison, of half-width SA-GSAE with full-width Gated: dominance, gaps,
dead latents."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis import numbers
from pipeline.analysis.figures import specification as paper
from pipeline.analysis.numbers import format_number, matched_column, share, signed, span, times
from pipeline.claims import claim as judging
from pipeline.claims.claim import Untestable, Verdict, claim, decided, measured, place, places
from pipeline.claims.evidence import EQUAL_L0, Evidence
from pipeline.study.settings import SIGN_AWARE

# Sources.
V1, V2, CAPTION = "abstract, v1", "abstract, v2", "captions"
NO_MAIN = "no comparison of a sign-aware variant with Gated of twice its width"
NO_RANGE = "no common L0 range"


def main_comparison(evidence: Evidence) -> pd.DataFrame:
    """Rows of the first comparison of an intact sign-aware variant with Gated of twice its width;
    none where the study has no such comparison."""
    table = evidence.of_setting
    fits = (
        table["candidate_variant"].isin(SIGN_AWARE)
        & (table["baseline_variant"] == "gated")
        & (2 * table["candidate_width"] == table["baseline_width"])
    )
    first = table.loc[fits, "comparison"].min()
    return table[fits & (table["comparison"] == first)]


def compared(evidence: Evidence) -> pd.DataFrame:
    """Those with a common L0 range; raises Untestable where there are none."""
    rows = measured(main_comparison(evidence), NO_MAIN)
    reasons = dict.fromkeys(filter(None, rows["overlap_reason"]))
    return judging.readable(rows, rows["dominates"].notna(), "; ".join(reasons))[0]


def rest(evidence: Evidence) -> pd.DataFrame:
    """Those where the candidate does not dominate; raises Untestable where there are none."""
    rows = compared(evidence)
    none = "it strictly dominates on every pair compared: none is left"
    return judging.readable(rows, ~rows["dominates"].astype(bool), none)[0]


def candidate_only(evidence: Evidence, table: pd.DataFrame, side: str = "") -> pd.DataFrame:
    """Rows of a table of sweeps that are the main comparison's candidate.

    Args:
        evidence: What the comparison stands in.
        table: Has the sweeps.
        side: Begins the columns of their variants and widths.
    """
    names = ["model", "hookpoint", f"{side}variant", f"{side}width"]
    sides = ["model", "hookpoint", "candidate_variant", "candidate_width"]
    candidates = pd.MultiIndex.from_frame(main_comparison(evidence)[sides])
    return table[pd.MultiIndex.from_frame(table[names]).isin(candidates)]


@claim(
    V1,
    least=0.5,
    statement="Half-width SA-GSAE strictly dominates full-width Gated in R2 over the whole swept "
    "L0 overlap on {least:words} of the (model, hookpoint) pairs",
    paper="3 of 6 pairs",
    criterion="Of the pairs with a common L0 range, at least {least:words} are strictly dominated.",
)
def dominance(evidence: Evidence, least: float) -> Verdict:
    rows = compared(evidence)
    wins, pairs = int(rows["dominates"].sum()), len(rows)
    here = f"{wins} of {pairs} pairs"
    sure = rows[rows["p_dominance"].notna()]
    if len(sure):
        each = "; ".join(f"{place(row)} {share(row['p_dominance'])}" for _, row in sure.iterrows())
        here += f" (P(dominance), bootstrap over seeds: {each})"
    why = f"mean R2 gap {span(rows['mean_gap'])}"
    if missing := len(main_comparison(evidence)) - pairs:
        why += f"; {missing} more pairs have no common L0 range"
    return decided(wins >= least * pairs, here, why)


@claim(
    V1,
    statement="It does so at every MLP output and at one residual stream",
    paper="both mlp_out, resid of Pythia-1B",
    criterion="Every mlp_out pair and at least one resid pair is strictly dominated.",
)
def dominance_where(evidence: Evidence) -> Verdict:
    rows, unread = compared(evidence), main_comparison(evidence)
    unread = unread[unread["dominates"].isna()]
    wins = {
        name: rows.loc[rows["hookpoint"] == name, "dominates"].astype(bool)
        for name in ("mlp_out", "resid")
    }
    if missing := [name for name, won in wins.items() if won.empty]:
        raise judging.Unmeasured(f"nothing is compared at {' and '.join(missing)}")
    here = ", ".join(f"{name} {won.sum()} of {len(won)}" for name, won in wins.items())
    open_at = ["mlp_out"] if wins["resid"].any() else ["mlp_out", "resid"]
    unread = unread[unread["hookpoint"].isin(open_at)]
    possible = wins["resid"].any() or (unread["hookpoint"] == "resid").any()
    holds = bool(wins["mlp_out"].all() and possible)
    return judging.decided_on_every(holds, rows, unread, NO_RANGE, here)


@claim(
    V1,
    within=paper.MATCHED_WITHIN,
    statement="Where it does not dominate, R2 is matched",
    paper="within {within} on the other 3",
    criterion="R2 falls at most {within} short anywhere in the overlap.",
)
def rest_within(evidence: Evidence, within: float) -> Verdict:
    rows = rest(evidence)
    gaps = "; ".join(
        f"{place(row)} {numbers.with_error(row['min_gap'], row['min_gap_se'], signed)}"
        for _, row in rows.iterrows()
    )
    return decided(bool((rows["min_gap"] >= -within).all()), f"smallest gap {gaps}")


@claim(
    V1,
    gap=-0.008,
    statement="Where it does not dominate, the largest negative gap is small",
    paper="{gap}",
    criterion="The smallest gap is {gap} or more.",
)
def rest_gap(evidence: Evidence, gap: float) -> Verdict:
    least = rest(evidence)["min_gap"].min()
    return decided(bool(least >= gap), f"largest negative gap {signed(least)}")


@claim(
    V1,
    least=paper.DEAD_LOWER_BY,
    statement="Where it does not dominate, far fewer latents are dead",
    paper="dead fraction lower by {least} to 0.62",
    criterion="At the first matched L0 the dead fraction is lower by {least} or more on the pairs "
    "with headroom: those where Gated has {least} dead. Not testable where there is "
    "none.",
)
def dead_rest(evidence: Evidence, least: float) -> Verdict:
    return _dead_at_matched(rest(evidence), least, evidence.spec.first_level(evidence.setting))


@claim(
    V2,
    least=paper.DEAD_LOWER_BY,
    l0=64,
    statement="At L0 = {l0} far fewer latents are dead on every pair",
    paper="dead fraction lower by {least} to 0.82 on all 6",
    criterion="The dead fraction at L0 = {l0} is lower by {least} or more on the pairs with "
    "headroom: those where Gated has {least} dead. Not testable where there is none.",
)
def dead_matched(evidence: Evidence, least: float, l0: float) -> Verdict:
    measured(compared(evidence), NO_MAIN)
    return _dead_at_matched(main_comparison(evidence), least, l0)


def _dead_at_matched(pairs: pd.DataFrame, least: float, l0: float) -> Verdict:
    names = [matched_column(l0, "dead_fraction", side) for side in ("candidate", "baseline")]
    known = pairs.get(names[0], pd.Series(index=pairs.index, dtype=float)).notna()
    rows, unread = judging.readable(pairs, known, f"no pair can be read off at L0 = {l0:g}")
    candidate, baseline = (rows[name] for name in names)
    drop = baseline - candidate
    error = (rows[f"{names[0]}_se"] ** 2 + rows[f"{names[1]}_se"] ** 2) ** 0.5
    here = f"lower by {span(drop, format_number)} at L0 = {l0:g}"
    if error.notna().any():
        here += f" (standard error at most {format_number(error.max())})"
    here += f"; Gated has {span(baseline, format_number)} dead"
    why = f"Gated has less than {least:g} dead everywhere: nothing can be lower by that"
    rows = rows.assign(room=baseline >= least, enough=drop >= least)
    lack = f"no value at L0 = {l0:g}"
    return _decided_with_room(rows, unread, lack, here, "that much", why)


def _decided_with_room(
    rows: pd.DataFrame, unread: pd.DataFrame, lack: str, here: str, what: str, roomless: str
) -> Verdict:
    """Whether every pair with room for it has enough; not testable where none has room.

    Args:
        rows: One per pair that can be read: whether it has ``enough``, and ``room``: whether Gated
            has the dead latents without which no pair could.
        unread: The other pairs.
        lack: What they lack.
        here: This study's number.
        what: For what the others have too few of them.
        roomless: Why it is not testable where none has room.
    """
    able = rows[rows["room"]]
    if able.empty:
        raise Untestable(roomless, here)
    why = ""
    if names := places(rows[~rows["room"]]):
        why = f"judged on {len(able)} of {len(rows)} pairs with headroom; "
        why += f"too few dead latents in Gated for {what} at {names}"
    holds = bool(able["enough"].all())
    return judging.decided_on_every(holds, able, unread, lack, here, why)


@claim(
    V1,
    least=paper.FEWER_DEAD_MLP,
    statement="At MLP outputs the dead fraction falls by two orders of magnitude",
    paper="{least}x to 500x on mlp_out (and resid of Pythia-1B), geometric mean",
    criterion="Geometric mean of dead(Gated) / dead(SA-GSAE) over shared lambdas, each floored at "
    "half a latent, lambdas without dead latents left out: {least} or more at every "
    "mlp_out with headroom, where it would reach that with no latent of SA-GSAE dead. "
    "Not testable where there is none.",
)
def dead_mlp(evidence: Evidence, least: float) -> Verdict:
    return _dead_over_sweep(evidence, ("mlp_out",), least)


@claim(
    V1,
    least=paper.FEWER_DEAD_OTHER,
    statement="At attention outputs and residual streams it falls by a small factor at least",
    paper="{least}x to 4x on attn and resid of SmolLM3-3B, geometric mean",
    criterion="The geometric mean of claim {claims[dead_mlp]}, but {least} or more at every attn "
    "and resid with headroom.",
)
def dead_other(evidence: Evidence, least: float) -> Verdict:
    return _dead_over_sweep(evidence, ("attn", "resid"), least)


def _dead_over_sweep(evidence: Evidence, hookpoints: tuple[str, ...], least: float) -> Verdict:
    names = ", ".join(hookpoints)
    rows = measured(main_comparison(evidence), NO_MAIN)
    rows = measured(rows[rows["hookpoint"].isin(hookpoints)], f"nothing is compared at {names}")
    rows, levels, remark = _or_at_equal_l0(rows)
    rows, unread = judging.readable(rows, ~_apart(rows), f"no lambda is shared at {names}")
    counts = (rows[f"dead_{name}"].sum() for name in ("floored", "points", "left_out"))
    floored, points, left_out = map(int, counts)
    here = f"no dead latents on either side at {left_out} {levels}"
    if points:
        factors = span(rows["dead_reduction"], times)
        here = f"{factors} ({floored} of {points} points floored; {here})"
    rows = rows.assign(room=rows["dead_ceiling"] >= least, enough=rows["dead_reduction"] >= least)
    why = f"too few dead latents in Gated for {times(least)} at {places(rows)}"
    most = span(rows["dead_ceiling"], times)
    if most != numbers.BLANK:
        why += f": it would be at most {most} with no dead latents"
    lack = "no lambda is shared"
    return _decided_with_room(rows, unread, lack, here + remark, times(least), why)


def _apart(rows: pd.DataFrame) -> pd.Series:
    """Whether the two sweeps of a pair share no lambda."""
    return rows["dead_points"] + rows["dead_left_out"] == 0


def _or_at_equal_l0(rows: pd.DataFrame) -> tuple[pd.DataFrame, str, str]:
    """Rows whose sweeps share no lambda are judged at equal L0, where the study has that.

    Returns the rows, at what they are judged, and what is to be said of equal L0.
    """
    if f"{EQUAL_L0}points" not in rows:
        return rows, "lambdas", ""
    remark = f"; at equal L0 {span(rows[f'{EQUAL_L0}reduction'], times)}"
    apart = _apart(rows) & rows[f"{EQUAL_L0}points"].notna()
    if not apart.any():
        return rows, "lambdas", remark
    remark += f", which decides at {places(rows[apart])}, where the sweeps share no lambda"
    instead = {
        f"dead_{name}": rows[f"dead_{name}"].mask(apart, rows[EQUAL_L0 + name])
        for name in ("reduction", "ceiling", "points", "floored", "left_out")
    }
    return rows.assign(**instead), "lambdas or levels of L0", remark
