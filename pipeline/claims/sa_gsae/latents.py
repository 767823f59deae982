"""Claims about what single latents do."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.numbers import format_number, span, with_error
from pipeline.analysis.numbers import times as times_of
from pipeline.claims.claim import (
    Unmeasured,
    Untestable,
    Verdict,
    claim,
    decided,
    decided_on_every,
    measured,
)
from pipeline.claims.evidence import Evidence
from pipeline.claims.sa_gsae.compared import (
    NO_MAIN,
    NO_RANGE,
    V1,
    V2,
    candidate_only,
    main_comparison,
)
from pipeline.study.dial import LATENT, PAIR, RANDOM
from pipeline.study.settings import SIGN_AWARE
from sagsae.evaluation.steering.dial_scores import SYMMETRY, TIMES_RANDOM, is_dial


@claim(V1)
def parameters(evidence: Evidence) -> Verdict:
    """Sign-awareness pays for its parameters even where two-sided latents are rare.

    On every pair the mean R2 gap between the candidate and Gated of its own width, which has as
    many parameters within 3 / (2d + 3), is above zero.
    """
    measured(main_comparison(evidence), NO_MAIN)
    rows = measured(_at_equal_width(evidence), "no comparison of it with Gated of its own width")
    unread, rows = rows[rows["dominates"].isna()], rows[rows["dominates"].notna()]
    if rows.empty:
        raise Untestable(NO_RANGE)
    here = f"mean R2 gap at equal width {span(rows['mean_gap'])}"
    shares = candidate_only(evidence, evidence.parameters)["two_sided_share"]
    why = f"two-sided share of latents {span(shares, format_number)}"
    return decided_on_every(bool((rows["mean_gap"] > 0).all()), rows, unread, NO_RANGE, here, why)


def _at_equal_width(evidence: Evidence) -> pd.DataFrame:
    """Comparisons of the main candidate with Gated of its width."""
    rows = candidate_only(evidence, evidence.comparison, "candidate_")
    alike = rows["baseline_width"] == rows["candidate_width"]
    return rows[alike & (rows["baseline_variant"] == "gated")]


def _latents(evidence: Evidence, hookpoint: str, *names: str) -> dict[str, pd.DataFrame]:
    """Quantity -> rows of the main candidate at a hookpoint, one per model.

    Raises Unmeasured where there is no such candidate, Untestable where one of ``names`` has none.
    """
    measured(main_comparison(evidence), NO_MAIN)
    rows = candidate_only(evidence, evidence.latents)
    rows = measured(rows[rows["hookpoint"] == hookpoint], f"nothing is compared at {hookpoint}")
    rows = rows[rows["cells"] > 0]
    found = {str(name): part.set_index("model") for name, part in rows.groupby("quantity")}
    if not found.keys() >= set(names):
        raise Untestable(f"no live latent at {hookpoint}")
    return found


def _by_model(found: pd.DataFrame) -> str:
    return ", ".join(
        f"{model} {with_error(row['mean'], row['se'])}" for model, row in found.iterrows()
    )


@claim(V1, share=0.5)
def mlp_polarity(evidence: Evidence, share: float) -> Verdict:
    """At MLP outputs most latents carry both polarities.

    Paper: most.

    At mlp_out of every model, more than {share:words} of the candidate's live latents fire with
    both signs (mean over the sweep).
    """
    found = _latents(evidence, "mlp_out", "bipolar_fraction")
    of_live = found["bipolar_fraction"]
    why = ""
    if "minority_share_median" in found:
        minority = span(found["minority_share_median"]["mean"], format_number)
        why = f"median minority share {minority}"
    here = f"two-sided share of live latents {_by_model(of_live)}"
    return decided(bool((of_live["mean"] > share).all()), here, why)


@claim(V1, percent=1)
def attn_top(evidence: Evidence, percent: float) -> Verdict:
    """At attention outputs two-sidedness concentrates in a few top latents.

    Paper: a small set of top latents.

    At attn of every model, two-sided latents are a larger share of the top {percent} % by
    contribution than of all live latents (means over the sweep).
    """
    names = f"top{percent:g}_bipolar_fraction", "bipolar_fraction"
    found = _latents(evidence, "attn", *names)
    top, all_live = (found[name] for name in names)
    here = f"two-sided share in the top {percent:g} % by contribution {_by_model(top)}; "
    here += f"of all live latents {_by_model(all_live)}"
    return decided(bool((top["mean"] > all_live["mean"]).all()), here)


@claim(V2, share=0.5, symmetry=SYMMETRY, times=TIMES_RANDOM)
def causal_dial(evidence: Evidence, share: float, symmetry: float, times: float) -> Verdict:
    """A single signed latent is a bidirectional causal dial.

    On every pair steered, more than {share:words} of the candidate's strongest latents that
    fire with both signs are dials. Such a latent moves the logit difference between the tokens
    that its two signs promote up at every step through zero, by at least {symmetry:words} as
    much on its weaker side as on its stronger one, and over the whole range by at least
    {times:words} times as much as the median random direction of the same norm. The tokens are
    chosen on contexts that are not measured.
    """
    if evidence.dial is None:
        raise Unmeasured("this study does not steer: its configuration has no section dial")
    table = measured(evidence.dial, "nothing was steered with under this recipe")
    found = is_dial(table["monotone"], table["symmetry"], table["times_random"], symmetry, times)
    table = table.assign(dial=found)
    rows = table[(table["kind"] == LATENT) & table["variant"].isin(SIGN_AWARE)]
    if rows.empty:
        raise Untestable("no sign-aware latent that fires with both signs was steered with")
    here = "dials: " + "; ".join(
        f"{model} {hookpoint} {_dials(part)}"
        for (model, hookpoint), part in rows.groupby(["model", "hookpoint"], sort=False)
    )
    here += f"; gain {span(rows['times_random'], times_of)} that of random directions"
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
