"""Claims about what single latents do. Criteria stand in ``claims``."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pipeline.claims.evidence import Evidence, Verdict, decided, untestable
from pipeline.text.numbers import plain, span, with_error
from sagsae.autoencoders.accounting import break_even_share

Values = Mapping[str, float]
UNTIED = "sagsae"
"""The variant whose latents cost most, and so break even last."""


def parameters(evidence: Evidence, values: Values) -> Verdict:
    rows = evidence.candidate_only(evidence.parameters)
    rows = rows[rows["two_sided_share"].notna()]
    if rows.empty:
        return untestable(evidence.no_main or "no sign-aware latent is alive")
    least = rows["two_sided_share_lo"]
    even = rows["d_model"].map(lambda d: break_even_share(UNTIED, d))
    here = f"two-sided share of latents {span(rows['two_sided_share'], plain)}"
    if rows["two_sided_share_se"].notna().any():
        here += f" (standard error at most {plain(rows['two_sided_share_se'].max())})"
    here += f", break-even {span(even, plain)} with nothing tied"
    why = f"lowest share of any cell {plain(least.min())}"
    return decided(bool((least > even).all()), here, why)


def _latents(evidence: Evidence, hookpoint: str) -> dict[str, pd.DataFrame]:
    """Quantity -> rows of the main candidate at a hookpoint, one a model."""
    rows = evidence.candidate_only(evidence.latents)
    rows = rows[(rows["hookpoint"] == hookpoint) & (rows["cells"] > 0)]
    return {str(name): found.set_index("model") for name, found in rows.groupby("quantity")}


def _by_model(found: pd.DataFrame) -> str:
    return ", ".join(
        f"{model} {with_error(row['mean'], row['se'])}" for model, row in found.iterrows()
    )


def mlp_polarity(evidence: Evidence, values: Values) -> Verdict:
    found = _latents(evidence, "mlp_out")
    if "bipolar_fraction" not in found:
        return untestable(evidence.no_main or "no live latent at mlp_out")
    share_of_live = found["bipolar_fraction"]
    why = ""
    if "minority_share_median" in found:
        why = f"median minority share {span(found['minority_share_median']['mean'], plain)}"
    here = f"two-sided share of live latents {_by_model(share_of_live)}"
    return decided(bool((share_of_live["mean"] > values["share"]).all()), here, why)


def attn_top(evidence: Evidence, values: Values) -> Verdict:
    found = _latents(evidence, "attn")
    if "top1_bipolar_fraction" not in found:
        return untestable(evidence.no_main or "no live latent at attn")
    top, all_live = found["top1_bipolar_fraction"], found["bipolar_fraction"]
    here = f"two-sided share in the top 1 % by contribution {_by_model(top)}; "
    here += f"of all live latents {_by_model(all_live)}"
    return decided(bool((top["mean"] > all_live["mean"]).all()), here)


def causal_dial(evidence: Evidence, values: Values) -> Verdict:
    return untestable("no stage of this project steers with a latent")
