"""Claims about the main comparison: dominance, gaps, dead latents. Criteria stand in ``claims``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from pipeline.claims.evidence import Evidence, Verdict, decided, place, untestable
from pipeline.text.numbers import matched_column, plain, share, signed, span, times, with_error

Values = Mapping[str, float]


def dominance(evidence: Evidence, values: Values) -> Verdict:
    rows = evidence.compared
    if rows.empty:
        return untestable(evidence.no_main)
    wins = rows[rows["dominates"].astype(bool)]
    here = f"{len(wins)} of {len(rows)} pairs"
    sure = rows["p_dominance"].dropna()
    if len(sure):
        each = "; ".join(
            f"{place(row)} {share(row['p_dominance'])}"
            for _, row in rows.iterrows()
            if not pd.isna(row["p_dominance"])
        )
        here += f" (P(dominance), bootstrap over seeds: {each})"
    why = f"mean R2 gap {span(rows['mean_gap'])}"
    if missing := len(evidence.main) - len(rows):
        why += f"; {missing} more pairs have no L0 overlap"
    return decided(len(wins) >= values["share"] * len(rows), here, why)


def dominance_where(evidence: Evidence, values: Values) -> Verdict:
    rows = evidence.compared
    found = {
        name: rows.loc[rows["hookpoint"] == name, "dominates"].astype(bool)
        for name in ("mlp_out", "resid")
    }
    if missing := [name for name, wins in found.items() if wins.empty]:
        return untestable(f"nothing is compared at {' and '.join(missing)}")
    here = ", ".join(f"{name} {wins.sum()} of {len(wins)}" for name, wins in found.items())
    return decided(bool(found["mlp_out"].all() and found["resid"].any()), here)


def _least_gaps(rows: pd.DataFrame) -> str:
    return "; ".join(
        f"{place(row)} {with_error(row['min_gap'], row['min_gap_se'], signed)}"
        for _, row in rows.iterrows()
    )


def _rest(evidence: Evidence, judge: Callable[[pd.DataFrame], Verdict]) -> Verdict:
    if evidence.compared.empty:
        return untestable(evidence.no_main)
    if evidence.rest.empty:
        return untestable("it strictly dominates on every pair compared: none is left")
    return judge(evidence.rest)


def rest_within(evidence: Evidence, values: Values) -> Verdict:
    return _rest(
        evidence,
        lambda rows: decided(
            bool((rows["min_gap"] >= -values["within"]).all()),
            f"smallest gap {_least_gaps(rows)}",
        ),
    )


def rest_gap(evidence: Evidence, values: Values) -> Verdict:
    return _rest(
        evidence,
        lambda rows: decided(
            bool((rows["min_gap"] >= values["gap"]).all()),
            f"largest negative gap {signed(rows['min_gap'].min())}",
        ),
    )


def _dead_at_matched(rows: pd.DataFrame, least: float, l0: float) -> Verdict:
    sides = [matched_column(l0, "dead_fraction", side) for side in ("candidate", "baseline")]
    if sides[0] not in rows or rows[sides[0]].isna().all():
        return untestable(f"no pair can be read off at L0 = {l0:g}")
    rows = rows[rows[sides[0]].notna()]
    candidate, baseline = rows[sides[0]], rows[sides[1]]
    drop = baseline - candidate
    error = (rows[f"{sides[0]}_se"] ** 2 + rows[f"{sides[1]}_se"] ** 2) ** 0.5
    here = f"lower by {span(drop, plain)} at L0 = {l0:g}"
    if error.notna().any():
        here += f" (standard error at most {plain(error.max())})"
    here += f"; Gated has {span(baseline, plain)} dead"
    room = baseline >= least
    if not room.any():
        return untestable(
            f"Gated has less than {least:g} dead everywhere: nothing can be lower by that", here
        )
    if (drop[room] < least).any() or room.all():
        return decided(bool((drop[room] >= least).all()), here, _roomless(rows[~room], "that much"))
    return untestable(_roomless(rows[~room], "that much"), here)


def _roomless(rows: pd.DataFrame, what: str) -> str:
    if rows.empty:
        return ""
    names = ", ".join(place(row) for _, row in rows.iterrows())
    return f"too few dead latents in Gated for {what} at {names}"


def dead_rest(evidence: Evidence, values: Values) -> Verdict:
    level = evidence.spec.matched_levels[0]
    return _rest(evidence, lambda rows: _dead_at_matched(rows, values["least"], level))


def dead_matched(evidence: Evidence, values: Values) -> Verdict:
    if evidence.compared.empty:
        return untestable(evidence.no_main)
    return _dead_at_matched(evidence.compared, values["least"], values["l0"])


def _dead_over_sweep(evidence: Evidence, hookpoints: tuple[str, ...], least: float) -> Verdict:
    rows = evidence.main[evidence.main["hookpoint"].isin(hookpoints)]
    rows = rows[rows["dead_reduction"].notna()]
    if rows.empty:
        return untestable(evidence.no_main or f"nothing is compared at {', '.join(hookpoints)}")
    floored = f"{rows['dead_floored'].sum():.0f} of {rows['dead_points'].sum():.0f} points floored"
    here = f"{span(rows['dead_reduction'], times)} ({floored})"
    room = rows["dead_ceiling"] >= least
    factor = rows["dead_reduction"]
    if (factor[room] < least).any() or room.all():
        why = _roomless(rows[~room], times(least))
        return decided(bool((factor[room] >= least).all()), here, why)
    most = span(rows.loc[~room, "dead_ceiling"], times)
    why = f"{_roomless(rows[~room], times(least))}: with none dead it were {most}"
    return untestable(why, here)


def dead_mlp(evidence: Evidence, values: Values) -> Verdict:
    return _dead_over_sweep(evidence, ("mlp_out",), values["least"])


def dead_other(evidence: Evidence, values: Values) -> Verdict:
    return _dead_over_sweep(evidence, ("attn", "resid"), values["least"])
