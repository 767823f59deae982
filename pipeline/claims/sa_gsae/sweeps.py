"""Claims about the main comparison: dominance, gaps, dead latents."""

from __future__ import annotations

from math import ceil, comb

import pandas as pd

from pipeline.analysis.figures import specification as paper_numbers
from pipeline.analysis.numbers import (
    BLANK,
    format_number,
    matched_column,
    share,
    signed,
    span,
    times,
    with_error,
)
from pipeline.claims.claim import (
    Unmeasured,
    Untestable,
    Verdict,
    claim,
    decided,
    decided_on_every,
    measured,
    place,
    places,
)
from pipeline.claims.evidence import EQUAL_L0, Evidence
from pipeline.claims.sa_gsae.compared import (
    NO_MAIN,
    NO_RANGE,
    V1,
    V2,
    compared,
    main_comparison,
    rest,
)


@claim(V1, least=0.5)
def dominance(evidence: Evidence, least: float) -> Verdict:
    """Half-width SA-GSAE strictly dominates full-width Gated in R2 over the whole swept L0
    overlap on {least:words} of the (model, hookpoint) pairs.

    Paper: 3 of 6 pairs.

    Of the pairs with a common L0 range, at least {least:words} are strictly dominated.
    """
    rows = compared(evidence)
    wins = rows[rows["dominates"].astype(bool)]
    here = f"{len(wins)} of {len(rows)} pairs"
    sure = rows[rows["p_dominance"].notna()]
    if len(sure):
        each = "; ".join(f"{place(row)} {share(row['p_dominance'])}" for _, row in sure.iterrows())
        here += f" (P(dominance), bootstrap over seeds: {each})"
    why = f"mean R2 gap {span(rows['mean_gap'])}"
    if missing := len(main_comparison(evidence)) - len(rows):
        why += f"; {missing} more pairs have no common L0 range"
    if evidence.spec.several_settings:
        held = share(resampled(len(wins), len(rows), ceil(least * len(rows))))
        why += f"; holds in {held} of the draws of a bootstrap over the pairs"
    return decided(len(wins) >= least * len(rows), here, why)


def resampled(wins: int, pairs: int, least: int) -> float:
    """Probability of at least ``least`` wins when the pairs are drawn anew with replacement: what a
    bootstrap over pairs comes to with endless draws."""
    share = wins / pairs
    return sum(
        comb(pairs, k) * share**k * (1 - share) ** (pairs - k) for k in range(least, pairs + 1)
    )


@claim(V1)
def dominance_where(evidence: Evidence) -> Verdict:
    """It does so at every MLP output and at one residual stream.

    Paper: both mlp_out, resid of Pythia-1B.

    Every mlp_out pair and at least one resid pair is strictly dominated.
    """
    rows, unread = compared(evidence), main_comparison(evidence)
    unread = unread[unread["dominates"].isna()]
    found = {
        name: rows.loc[rows["hookpoint"] == name, "dominates"].astype(bool)
        for name in ("mlp_out", "resid")
    }
    if missing := [name for name, wins in found.items() if wins.empty]:
        raise Unmeasured(f"nothing is compared at {' and '.join(missing)}")
    here = ", ".join(f"{name} {wins.sum()} of {len(wins)}" for name, wins in found.items())
    open_at = ["mlp_out", *["resid"] * (not found["resid"].any())]
    unread = unread[unread["hookpoint"].isin(open_at)]
    possible = found["resid"].any() or "resid" in unread["hookpoint"].to_numpy()
    holds = bool(found["mlp_out"].all() and possible)
    return decided_on_every(holds, rows, unread, NO_RANGE, here)


@claim(V1, within=paper_numbers.MATCHED_WITHIN)
def rest_within(evidence: Evidence, within: float) -> Verdict:
    """Where it does not dominate, R2 is matched.

    Paper: within {within} on the other 3.

    R2 falls at most {within} short anywhere in the overlap.
    """
    rows = rest(evidence)
    gaps = "; ".join(
        f"{place(row)} {with_error(row['min_gap'], row['min_gap_se'], signed)}"
        for _, row in rows.iterrows()
    )
    return decided(bool((rows["min_gap"] >= -within).all()), f"smallest gap {gaps}")


@claim(V1, gap=-0.008)
def rest_gap(evidence: Evidence, gap: float) -> Verdict:
    """Where it does not dominate, the largest negative gap is small.

    Paper: {gap}.

    The smallest gap is {gap} or more.
    """
    least = rest(evidence)["min_gap"].min()
    return decided(bool(least >= gap), f"largest negative gap {signed(least)}")


def _dead_at_matched(rows: pd.DataFrame, least: float, l0: float) -> Verdict:
    sides = [matched_column(l0, "dead_fraction", side) for side in ("candidate", "baseline")]
    if sides[0] not in rows or rows[sides[0]].isna().all():
        raise Untestable(f"no pair can be read off at L0 = {l0:g}")
    unread, rows = rows[rows[sides[0]].isna()], rows[rows[sides[0]].notna()]
    candidate, baseline = rows[sides[0]], rows[sides[1]]
    drop = baseline - candidate
    error = (rows[f"{sides[0]}_se"] ** 2 + rows[f"{sides[1]}_se"] ** 2) ** 0.5
    here = f"lower by {span(drop, format_number)} at L0 = {l0:g}"
    if error.notna().any():
        here += f" (standard error at most {format_number(error.max())})"
    here += f"; Gated has {span(baseline, format_number)} dead"
    room = baseline >= least
    if not room.any():
        raise Untestable(
            f"Gated has less than {least:g} dead everywhere: nothing can be lower by that", here
        )
    rows = rows.assign(room=room, enough=drop >= least)
    return _decided_with_room(rows, unread, f"no value at L0 = {l0:g}", here, "that much")


def _decided_with_room(
    rows: pd.DataFrame, unread: pd.DataFrame, lack: str, here: str, what: str, more: str = ""
) -> Verdict:
    """Whether every pair with room for it has enough; not testable where none has room, for which
    ``more`` says why.

    Args:
        rows: One per pair that can be read: whether it has ``enough``, and ``room``: whether Gated
            has the dead latents without which no pair could.
        unread: The other pairs.
        lack: What they lack.
        here: This study's number.
        what: For what the others have too few of them.
        more: See above.
    """
    room = rows["room"]
    names = places(rows[~room])
    why = f"too few dead latents in Gated for {what} at {names}" if names else ""
    if not room.any():
        raise Untestable(f"{why}{more}", here)
    why = f"judged on {room.sum()} of {len(rows)} pairs with headroom; {why}" if names else ""
    holds = bool(rows.loc[room, "enough"].all())
    return decided_on_every(holds, rows[room], unread, lack, here, why)


@claim(V1, least=paper_numbers.DEAD_LOWER_BY)
def dead_rest(evidence: Evidence, least: float) -> Verdict:
    """Where it does not dominate, far fewer latents are dead.

    Paper: dead fraction lower by {least} to 0.62.

    At the first matched L0 the dead fraction is lower by {least} or more on the pairs with
    headroom: those where Gated has {least} dead. Not testable where there is none.
    """
    return _dead_at_matched(rest(evidence), least, evidence.spec.first_level(evidence.setting))


@claim(V2, least=paper_numbers.DEAD_LOWER_BY, l0=64)
def dead_matched(evidence: Evidence, least: float, l0: float) -> Verdict:
    """At L0 = {l0} far fewer latents are dead on every pair.

    Paper: dead fraction lower by {least} to 0.82 on all 6.

    The dead fraction at L0 = {l0} is lower by {least} or more on the pairs with headroom: those
    where Gated has {least} dead. Not testable where there is none.
    """
    measured(compared(evidence), NO_MAIN)
    return _dead_at_matched(main_comparison(evidence), least, l0)


def _dead_over_sweep(evidence: Evidence, hookpoints: tuple[str, ...], least: float) -> Verdict:
    names = ", ".join(hookpoints)
    rows = measured(main_comparison(evidence), NO_MAIN)
    rows = measured(rows[rows["hookpoint"].isin(hookpoints)], f"nothing is compared at {names}")
    rows, levels, remark = _or_at_equal_l0(rows)
    apart = _apart(rows)
    if apart.all():
        raise Untestable(f"no lambda is shared at {names}")
    unread, rows = rows[apart], rows[~apart]
    here = _reductions(rows, levels) + remark
    rows = rows.assign(room=rows["dead_ceiling"] >= least, enough=rows["dead_reduction"] >= least)
    most = span(rows.loc[~rows["room"], "dead_ceiling"], times)
    more = "" if most == BLANK else f": it would be at most {most} with no dead latents"
    return _decided_with_room(rows, unread, "no lambda is shared", here, times(least), more)


def _apart(rows: pd.DataFrame) -> pd.Series:
    """Whether the two sweeps of a pair share no lambda."""
    return rows["dead_points"] + rows["dead_left_out"] == 0


def _reductions(rows: pd.DataFrame, levels: str) -> str:
    """The reductions, and how many points they rest on."""
    names = ("dead_floored", "dead_points", "dead_left_out")
    floored, points, left_out = (int(rows[name].sum()) for name in names)
    none = f"no dead latents on either side at {left_out} {levels}"
    if not points:
        return none
    return f"{span(rows['dead_reduction'], times)} ({floored} of {points} points floored; {none})"


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


@claim(V1, least=paper_numbers.FEWER_DEAD_MLP)
def dead_mlp(evidence: Evidence, least: float) -> Verdict:
    """At MLP outputs the dead fraction falls by two orders of magnitude.

    Paper: {least}x to 500x on mlp_out (and resid of Pythia-1B), geometric mean.

    Geometric mean of dead(Gated) / dead(SA-GSAE) over shared lambdas, each floored at half a
    latent, lambdas without dead latents left out: {least} or more at every mlp_out with
    headroom, where it would reach that with no latent of SA-GSAE dead. Not testable where there
    is none.
    """
    return _dead_over_sweep(evidence, ("mlp_out",), least)


@claim(V1, least=paper_numbers.FEWER_DEAD_OTHER)
def dead_other(evidence: Evidence, least: float) -> Verdict:
    """At attention outputs and residual streams it falls by a small factor at least.

    Paper: {least}x to 4x on attn and resid of SmolLM3-3B, geometric mean.

    The geometric mean of claim {claims[dead_mlp]}, but {least} or more at every attn and resid with
    headroom.
    """
    return _dead_over_sweep(evidence, ("attn", "resid"), least)
