"""The limits of a study: sites, budget and seeds, as its configuration and cells say."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.report import limits
from tests.pipeline.claims.sa_gsae.made_tables import spec


def cells(*sweeps) -> pd.DataFrame:
    """Cells of (variant, width, lambdas, seeds) at one hookpoint of a model with d = 64."""
    return pd.DataFrame(
        {
            "model": "small",
            "hookpoint": "attn",
            "variant": variant,
            "recipe": "",
            "width": width,
            "d_model": 64,
            "lam": lam,
            "seed": seed,
            "training_tokens": 819200 + 1000 * seed,
            "eval_tokens": 8192,
            "ce_tokens": 1016 + lam,
        }
        for variant, width, lambdas, seeds in sweeps
        for lam in lambdas
        for seed in range(seeds)
    )


def test_sites_budget_and_the_fewest_seeds_of_any_point():
    three = ("sagsae_tied", 128, (1, 2), 3)
    sites, budget, seeds = limits(spec(), cells(three))[:3]
    assert sites.startswith("Sites: mlp_out, attn, resid at one layer of small (d = 64) and large")
    assert budget.startswith("Budget: 819,200 to 821,200 training tokens and 8,192 evaluation")
    assert seeds == "Seeds per point: at least 3 for SA-GSAE tied at H = 2d."
    uneven = cells(three, ("sagsae_tied", 128, (3,), 2), ("gated", 256, (1,), 2))
    assert limits(spec(), uneven)[2] == (
        "Seeds per point: at least 2 for Gated at H = 4d, 2 for SA-GSAE tied at H = 2d."
    )
