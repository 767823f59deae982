"""Claims about the synthetic protocols. Criteria stand in ``claims``."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pipeline.claims.evidence import Evidence, Verdict, decided, untestable
from pipeline.text.numbers import plain, span, variant_label, with_error

Values = Mapping[str, float]
PREFERRED = ("sagsae_tied", "sagsae_sym", "sagsae")
SLOPE_WITHIN, FOUND, CONSOLIDATED, NONE_CONSOLIDATED, KEPT = 0.1, 0.9, 0.9, 0.05, 0.9


def _found(evidence: Evidence, protocol: str) -> pd.DataFrame | str:
    """Rows of a protocol at its operating points, or why there are none.

    ``asked`` and ``value`` are the two sides of the = in a setting such as alpha=2.
    """
    if evidence.synthetic is None:
        return "the synthetic protocols were not run for this study"
    table = evidence.synthetic
    rows = table[(table["protocol"] == protocol) & table["picked"]]
    if rows.empty:
        return f"protocol {protocol} is not among the synthetic results"
    parts = rows["setting"].str.partition("=")
    return rows.assign(asked=parts[0], value=pd.to_numeric(parts[2]))


def _sign_aware(rows: pd.DataFrame) -> str | None:
    known = set(rows["variant"])
    return next((name for name in PREFERRED if name in known), None)


def _of(rows: pd.DataFrame, variant: str, metric: str) -> pd.DataFrame:
    """One metric of a variant by setting; of the widest where there are several widths."""
    rows = rows[(rows["variant"] == variant) & (rows["metric"] == metric)]
    return rows.sort_values("width").groupby("value").last()


def protocol_a(evidence: Evidence, values: Values) -> Verdict:
    rows = _found(evidence, "polarity_dial")
    if isinstance(rows, str) or (variant := _sign_aware(rows)) is None:
        return untestable(rows if isinstance(rows, str) else "no sign-aware variant took part")
    both, found = (
        pd.concat([_of(rows, variant, f"{what}_{sign}") for sign in ("pos", "neg")])
        for what in ("slope", "found")
    )
    if both["mean"].isna().any():
        return untestable("some pole is served by no latent")
    here = f"{variant_label(variant)}: slopes {span(both['mean'], plain)}, standard error at most "
    here += f"{plain(both['se'].max())}, over alpha {span(both.index.to_series(), plain)}; "
    here += f"share of poles found {span(found['mean'], plain)}"
    calibrated = ((both["mean"] - 1).abs() <= SLOPE_WITHIN).all()
    return decided(bool(calibrated and (found["mean"] >= FOUND).all()), here)


def protocol_b(evidence: Evidence, values: Values) -> Verdict:
    rows = _found(evidence, "anomalies")
    if isinstance(rows, str) or (variant := _sign_aware(rows)) is None:
        return untestable(rows if isinstance(rows, str) else "no sign-aware variant took part")
    signed, gated = (_of(rows, name, "auroc_worse") for name in (variant, "gated"))
    shared = signed.index.intersection(gated.index)
    strict = shared[shared <= 1]
    if strict.empty:
        return untestable("no budget of at most one latent an axis")
    here = "AUROC of the worse direction " + "; ".join(
        f"budget {budget:g}: {with_error(*signed.loc[budget, ['mean', 'se']])} against "
        f"{with_error(*gated.loc[budget, ['mean', 'se']])}"
        for budget in shared
    )
    lead = signed.loc[strict, "mean"] - gated.loc[strict, "mean"]
    error = (signed.loc[strict, "se"] ** 2 + gated.loc[strict, "se"] ** 2) ** 0.5
    return decided(bool((lead > 2 * error.fillna(0)).all()), here)


def protocol_c(evidence: Evidence, values: Values) -> Verdict:
    rows = _found(evidence, "consolidation")
    if isinstance(rows, str) or (variant := _sign_aware(rows)) is None:
        return untestable(rows if isinstance(rows, str) else "no sign-aware variant took part")
    signed, gated = (_of(rows, name, "pcr") for name in (variant, "gated"))
    lowest = signed.index.min()
    here = f"Pair Consolidation Rate {with_error(*signed.loc[lowest, ['mean', 'se']])} at "
    here += (
        f"superposition {lowest:g}, {span(signed['mean'], plain)} up to {signed.index.max():g}; "
    )
    here += f"Gated {span(gated['mean'], plain)}"
    true = signed.loc[lowest, "mean"] >= CONSOLIDATED and gated["mean"].max() <= NONE_CONSOLIDATED
    return decided(bool(true), here)


def robustness(evidence: Evidence, values: Values) -> Verdict:
    rows = _found(evidence, "robustness")
    if isinstance(rows, str) or (variant := _sign_aware(rows)) is None:
        return untestable(rows if isinstance(rows, str) else "no sign-aware variant took part")
    rate = _of(rows[rows["asked"] == "rho"], variant, "pcr")
    if not {-1.0, -0.5} <= set(rate.index):
        return untestable("rho = -1 and -0.5 are not among the settings")
    here = "Pair Consolidation Rate " + ", ".join(
        f"{with_error(row['mean'], row['se'])} at rho = {rho:g}" for rho, row in rate.iterrows()
    )
    return decided(bool(rate["mean"][-0.5] >= KEPT * rate["mean"][-1.0]), here)
