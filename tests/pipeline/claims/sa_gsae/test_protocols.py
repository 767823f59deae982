"""Judges of the synthetic protocols, on summaries at each limit.

Numbers and remarks of verdicts are compared with those of the committed studies in tests/e2e.
"""

from __future__ import annotations

import math

import pytest

from pipeline.claims.claim import FAILS, HOLDS, MISSING, OPEN
from pipeline.claims.sa_gsae import protocols
from tests.pipeline.claims.sa_gsae.made_tables import evidence, outcome


def row(protocol, setting, metric, mean, variant="sagsae_tied", **values):
    made = {"protocol": protocol, "setting": setting, "variant": variant, "width": 16}
    return made | {"picked": True, "metric": metric, "mean": mean, "se": 0.02} | values


ALL = (
    (protocols.protocol_a, "polarity_dial"),
    (protocols.protocol_b, "anomalies"),
    (protocols.protocol_c, "consolidation"),
    (protocols.robustness, "robustness"),
)


@pytest.mark.parametrize(("claim", "protocol"), ALL)
def test_a_protocol_that_was_not_run_leaves_its_claim_open(claim, protocol):
    beside = row(protocol, "alpha=1", "pcr", 1.0, picked=False)
    lone = row(protocol, "alpha=1", "pcr", 1.0, variant="gated")
    for rows in (None, [row("another", "alpha=1", "pcr", 1.0), beside], [lone]):
        assert outcome(claim, evidence(synthetic=rows)) == MISSING


def dial(alpha, positive, negative, poles=1.0):
    metrics = {"slope_pos": positive, "slope_neg": negative, "found_pos": 1.0, "found_neg": poles}
    return [
        row("polarity_dial", f"alpha={alpha}", name, mean, se=0.03)
        for name, mean in metrics.items()
    ]


def budgets(*triples, se=0.02):
    return [
        row("anomalies", f"budget={budget}", "auroc_worse", mean, variant=variant, se=se)
        for budget, *means in triples
        for variant, mean in zip(("sagsae_tied", "gated"), means, strict=True)
    ]


def rates(protocol, values, variant="sagsae_tied", name="superposition", **others):
    return [
        row(protocol, f"{name}={key}", "pcr", mean, variant=variant, **others)
        for key, mean in values.items()
    ]


def consolidated(lowest, gated):
    """The lowest superposition decides, and Gated never consolidates."""
    rows = rates("consolidation", {8: 0.2, 0.5: lowest, 2: 0.95})
    return rows + rates("consolidation", {0.5: 0.0, 8: gated}, "gated")


def robust(weak):
    """Nine tenths must be left at rho = -0.5; cosines count nothing."""
    rows = rates("robustness", {-1: 0.5, 0: 0.1, -0.5: weak}, name="rho")
    return rows + rates("robustness", {-1: 0.0, -0.5: 0.0}, name="cosine", width=99)


@pytest.mark.parametrize(
    ("claim", "rows", "expected"),
    [
        (protocols.protocol_a, dial(1, 1.02, 1.03) + dial(4, 0.95, 1.09, 0.9), HOLDS),
        (protocols.protocol_a, dial(1, 1.0, 1.0) + dial(2, 1.0, 1.0, 0.89), FAILS),
        (protocols.protocol_a, dial(1, 1.0, 1.0) + dial(2, 1.11, 1.0), FAILS),
        (protocols.protocol_a, dial(1, 1.0, 1.0) + dial(2, 1.0, 0.89), FAILS),
        (protocols.protocol_b, budgets((0.5, 0.8, 0.6), (1, 0.9, 0.8), (2, 0.95, 0.95)), HOLDS),
        (protocols.protocol_b, budgets((0.5, 0.8, 0.6), (1, 0.85, 0.8)), FAILS),
        *(  # one seed has no error, so no lead decides
            (protocols.protocol_b, budgets((1, 0.5 + lead, 0.5), se=math.nan), OPEN)
            for lead in (0.0, 0.0001, 0.2)
        ),
        (protocols.protocol_c, consolidated(0.9, 0.05), HOLDS),
        (protocols.protocol_c, consolidated(0.89, 0.0), FAILS),
        (protocols.protocol_c, consolidated(0.9, 0.051), FAILS),
        (protocols.robustness, robust(0.451), HOLDS),
        (protocols.robustness, robust(0.45), HOLDS),
        (protocols.robustness, robust(0.449), FAILS),
    ],
)
def test_a_verdict_of_a_summary(claim, rows, expected):
    assert outcome(claim, evidence(synthetic=rows)) == expected
