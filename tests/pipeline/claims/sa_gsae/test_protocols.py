"""Judges of the synthetic protocols, on summaries whose numbers are known."""

from __future__ import annotations

import math

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import protocols
from tests.pipeline.claims.sa_gsae.made_tables import evidence, told


def row(protocol, setting, metric, mean, variant="sagsae_tied", **values):
    made = {"protocol": protocol, "setting": setting, "variant": variant, "width": 16}
    return made | {"picked": True, "metric": metric, "mean": mean, "se": 0.02} | values


def judged(claim, rows):
    return told(claim, evidence(synthetic=list(rows)))


ALL = (
    (protocols.protocol_a, "polarity_dial"),
    (protocols.protocol_b, "anomalies"),
    (protocols.protocol_c, "consolidation"),
    (protocols.robustness, "robustness"),
)


@pytest.mark.parametrize(("claim", "protocol"), ALL)
def test_a_protocol_that_was_not_run_leaves_its_claim_open(claim, protocol):
    why = "the synthetic protocols were not run for this study"
    assert told(claim, evidence()) == (MISSING, "", why)
    why = f"protocol {protocol} is not among the synthetic results"
    beside = row(protocol, "alpha=1", "pcr", 1.0, picked=False)
    assert judged(claim, [row("another", "alpha=1", "pcr", 1.0), beside]) == (MISSING, "", why)
    lone = row(protocol, "alpha=1", "pcr", 1.0, variant="gated")
    assert judged(claim, [lone]) == (MISSING, "", "no sign-aware variant took part")


def dial(alpha, positive, negative, found=1.0, **values):
    metrics = {"slope_pos": positive, "slope_neg": negative, "found_pos": 1.0, "found_neg": found}
    return [
        row("polarity_dial", f"alpha={alpha}", name, mean, **values)
        for name, mean in metrics.items()
    ]


def test_slopes_of_both_signs_are_near_one():
    rows = dial(1, 1.02, 1.03) + dial(4, 0.95, 1.09, 0.9, se=0.03)
    here = "SA-GSAE tied: slopes 0.950 to 1.090, standard error at most 0.030, "
    here += "over alpha 1.000 to 4.000; share of poles found 0.900 to 1.000"
    assert judged(protocols.protocol_a, rows) == (HOLDS, here, "")
    for changes in ((1.0, 1.0, 0.89), (1.11, 1.0), (1.0, 0.89)):
        rows = dial(1, 1.0, 1.0) + dial(2, *changes)
        assert judged(protocols.protocol_a, rows)[0] == FAILS


def budgets(*triples, se=0.02):
    return [
        row("anomalies", f"budget={budget}", "auroc_worse", mean, variant=variant, se=se)
        for budget, *means in triples
        for variant, mean in zip(("sagsae_tied", "gated"), means, strict=True)
    ]


def test_under_a_strict_budget_it_leads_by_two_errors():
    here = "AUROC of the worse direction budget 0.5: 0.800 ± 0.020 against 0.600 ± 0.020; "
    here += "budget 1: 0.900 ± 0.020 against 0.800 ± 0.020; "
    here += "budget 2: 0.950 ± 0.020 against 0.950 ± 0.020"
    rows = budgets((0.5, 0.8, 0.6), (1, 0.9, 0.8), (2, 0.95, 0.95))
    assert judged(protocols.protocol_b, rows) == (HOLDS, here, "")
    less = budgets((0.5, 0.8, 0.6), (1, 0.85, 0.8))
    assert judged(protocols.protocol_b, less)[0] == FAILS


@pytest.mark.parametrize("lead", [0.0, 0.0001, 0.2])
def test_one_seed_has_no_error_so_no_lead_decides(lead):
    found = judged(protocols.protocol_b, budgets((1, 0.5 + lead, 0.5), se=math.nan))
    assert found[::2] == (OPEN, "one seed has no standard error")


def rates(protocol, values, variant="sagsae_tied", name="superposition", **others):
    return [
        row(protocol, f"{name}={key}", "pcr", mean, variant=variant, **others)
        for key, mean in values.items()
    ]


@pytest.mark.parametrize(
    ("lowest", "gated", "expected"),
    [(0.9, 0.05, HOLDS), (0.89, 0.0, FAILS), (0.9, 0.051, FAILS), (0.89, 0.051, FAILS)],
)
def test_the_lowest_superposition_decides_and_gated_never_consolidates(lowest, gated, expected):
    rows = rates("consolidation", {8: 0.2, 0.5: lowest, 2: 0.95})
    rows += rates("consolidation", {0.5: 0.0, 8: gated}, "gated")
    here = f"Pair Consolidation Rate {lowest:.3f} ± 0.020 at superposition 0.5, 0.200 to 0.950 "
    here += f"up to 8; Gated 0 to {gated:.3f}".replace("0 to 0.000", "0")
    assert judged(protocols.protocol_c, rows) == (expected, here, "")


@pytest.mark.parametrize(("weak", "expected"), [(0.451, HOLDS), (0.45, HOLDS), (0.449, FAILS)])
def test_nine_tenths_must_be_left(weak, expected):
    rows = rates("robustness", {-1: 0.5, 0: 0.1, -0.5: weak}, name="rho")
    beside = rates("robustness", {-1: 0.0, -0.5: 0.0}, name="cosine", width=99)
    here = f"Pair Consolidation Rate 0.500 ± 0.020 at rho = -1, {weak:.3f} ± 0.020 at rho = -0.5"
    found = judged(protocols.robustness, rows + beside)
    assert found == (expected, f"{here}, 0.100 ± 0.020 at rho = 0", "")
