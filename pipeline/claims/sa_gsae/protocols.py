"""Claims about the synthetic protocols."""

from __future__ import annotations

from collections.abc import Hashable

import pandas as pd

from pipeline.analysis.numbers import format_number, span, variant_label, with_error
from pipeline.claims.claim import Unmeasured, Untestable, Verdict, claim, decided, measured
from pipeline.claims.evidence import Evidence
from pipeline.claims.sa_gsae.sweeps import CAPTION

PREFERRED = ("sagsae_tied", "sagsae_sym", "sagsae")


def made_up(_: Evidence) -> Hashable:
    """Made-up data are one run, whatever the setting."""
    return ()


def _picked(evidence: Evidence, protocol: str) -> tuple[pd.DataFrame, str]:
    """Rows of a protocol at its operating points, and the most tied sign-aware variant in them.

    ``asked`` and ``value`` are the two sides of the = in a setting such as alpha=2.
    """
    if evidence.synthetic is None:
        raise Unmeasured("the synthetic protocols were not run for this study")
    table = evidence.synthetic
    rows = table[(table["protocol"] == protocol) & table["picked"]]
    measured(rows, f"protocol {protocol} is not among the synthetic results")
    variant = next((name for name in PREFERRED if name in set(rows["variant"])), None)
    if variant is None:
        raise Unmeasured("no sign-aware variant took part")
    parts = rows["setting"].str.partition("=")
    return rows.assign(asked=parts[0], value=pd.to_numeric(parts[2])), variant


def _of(rows: pd.DataFrame, variant: str, metric: str) -> pd.DataFrame:
    """One metric of a variant by setting; of the widest where there are several widths."""
    rows = rows[(rows["variant"] == variant) & (rows["metric"] == metric)]
    return rows.sort_values("width").groupby("value").last()


def _mean(rows: pd.DataFrame, value: float) -> str:
    """The mean at one setting with its standard error."""
    return with_error(*rows.loc[value, ["mean", "se"]])


@claim(
    CAPTION,
    made_up,
    within=0.1,
    share=0.9,
    statement="Protocol A: one latent is calibrated on both signs of an asymmetric axis",
    criterion="At every alpha the mean slope of both signs of the most tied sign-aware variant is "
    "within {within} of 1, over at least {share} of the poles.",
)
def protocol_a(evidence: Evidence, within: float, share: float) -> Verdict:
    rows, variant = _picked(evidence, "polarity_dial")
    slopes, served = (
        pd.concat([_of(rows, variant, f"{what}_{sign}") for sign in ("pos", "neg")])
        for what in ("slope", "found")
    )
    if slopes["mean"].isna().any():
        raise Untestable("some pole is served by no latent")
    here = f"{variant_label(variant)}: slopes {span(slopes['mean'], format_number)}, "
    if slopes["se"].notna().any():
        here += f"standard error at most {format_number(slopes['se'].max())}, "
    here += f"over alpha {span(slopes.index.to_series(), format_number)}; "
    here += f"share of poles found {span(served['mean'], format_number)}"
    calibrated = ((slopes["mean"] - 1).abs() <= within).all()
    return decided(bool(calibrated and (served["mean"] >= share).all()), here)


@claim(
    CAPTION,
    made_up,
    most=1,
    errors=2,
    statement="Protocol B: under a strict budget of latents, anomalies of both directions show",
    criterion="With at most {most:words} latent an axis, its AUROC of the worse direction exceeds "
    "that of Gated by more than {errors:words} standard errors. Not testable with one "
    "seed, which has no error.",
)
def protocol_b(evidence: Evidence, most: float, errors: float) -> Verdict:
    rows, variant = _picked(evidence, "anomalies")
    signed, gated = (_of(rows, name, "auroc_worse") for name in (variant, "gated"))
    shared = signed.index.intersection(gated.index)
    strict = shared[shared <= most]
    if strict.empty:
        raise Unmeasured("no budget of at most one latent an axis")
    here = "AUROC of the worse direction " + "; ".join(
        f"budget {budget:g}: {_mean(signed, budget)} against {_mean(gated, budget)}"
        for budget in shared
    )
    lead = signed.loc[strict, "mean"] - gated.loc[strict, "mean"]
    error = (signed.loc[strict, "se"] ** 2 + gated.loc[strict, "se"] ** 2) ** 0.5
    if error.isna().any():
        raise Untestable("one seed has no standard error", here)
    return decided(bool((lead > errors * error).all()), here)


@claim(
    CAPTION,
    made_up,
    least=0.9,
    most=0.05,
    statement="Protocol C: opposite features are consolidated into one signed latent",
    criterion="At the lowest superposition its Pair Consolidation Rate is {least} or more, and "
    "that of Gated never above {most}.",
)
def protocol_c(evidence: Evidence, least: float, most: float) -> Verdict:
    rows, variant = _picked(evidence, "consolidation")
    signed, gated = (_of(rows, name, "pcr") for name in (variant, "gated"))
    lowest, highest = signed.index.min(), signed.index.max()
    here = f"Pair Consolidation Rate {_mean(signed, lowest)} at superposition {lowest:g}, "
    here += f"{span(signed['mean'], format_number)} up to {highest:g}; "
    here += f"Gated {span(gated['mean'], format_number)}"
    return decided(bool(signed.loc[lowest, "mean"] >= least and gated["mean"].max() <= most), here)


@claim(
    CAPTION,
    made_up,
    weak=-0.5,
    strict=-1,
    share=0.9,
    statement="Consolidation withstands correlation within a pair",
    criterion="At rho = {weak} its Pair Consolidation Rate is at least {share} times that at rho "
    "= {strict}.",
)
def robustness(evidence: Evidence, weak: float, strict: float, share: float) -> Verdict:
    rows, variant = _picked(evidence, "robustness")
    rate = _of(rows[rows["asked"] == "rho"], variant, "pcr")
    if not {weak, strict} <= set(rate.index):
        raise Unmeasured(f"rho = {strict:g} and {weak:g} are not among the settings")
    here = "Pair Consolidation Rate " + ", ".join(
        f"{_mean(rate, rho)} at rho = {rho:g}" for rho in rate.index
    )
    return decided(bool(rate["mean"][weak] >= share * rate["mean"][strict]), here)
