"""The limits of a study: sites, budget and seeds, as its configuration and cells say."""

from __future__ import annotations

import pandas as pd

from pipeline.claims.limits import STANDING, limits
from tests.pipeline.claims.made_tables import spec


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


def test_the_studys_own_remark_comes_first_and_what_is_always_true_last():
    grid = cells(("gated", 128, (1, 2), 3))
    found = limits(spec(note="Made-up."), grid)
    assert found[0] == "Made-up."
    assert limits(spec(), grid) == found[1:]
    assert tuple(found[-4:]) == STANDING
    assert len(found) == 8


def test_sites_and_budget_are_those_of_the_study():
    sites, budget = limits(spec(), cells(("gated", 128, (1, 2), 3)))[:2]
    assert sites.startswith(
        "Sites: mlp_out, attn, resid at one layer of small (d = 64) and large (d = 96). The paper's"
    )
    assert sites.endswith("says what happens at other layers, models or sizes.")
    assert budget.startswith(
        "Budget: 819,200 to 821,200 training tokens and 8,192 evaluation tokens a cell, Loss "
        "Recovered over 1,017 to 1,018. Longer training"
    )
    assert budget.endswith("if it is silent on the evaluation tokens.")


def test_seeds_are_the_fewest_of_any_point():
    three = ("sagsae_tied", 128, (1, 2), 3)
    assert limits(spec(), cells(three))[2] == "Seeds: at least 3 seeds of SA-GSAE tied at H = 2d."
    uneven = cells(three, ("sagsae_tied", 128, (3,), 2), ("gated", 256, (1,), 2))
    assert limits(spec(), uneven)[2] == (
        "Seeds: at least 2 seeds of Gated at H = 4d, SA-GSAE tied at H = 2d."
    )


def test_one_seed_is_a_single_observation():
    mixed = cells(("sagsae_tied", 128, (1, 2), 3), ("gated", 128, (1,), 1), ("sagsae", 96, (1,), 1))
    assert limits(spec(), mixed)[2] == (
        "Seeds: at least 3 seeds of SA-GSAE tied at H = 2d; 1 seed of Gated at H = 2d, SA-GSAE at "
        "H = 1.5d. One seed has no error: its numbers are single observations."
    )


def test_cells_with_a_lambda_and_cells_with_a_k_count():
    found = cells(("sagsae_tied", 128, (1, 2), 3), ("topk", 256, (8,), 2))
    has_k = found["variant"] == "topk"
    found["k"] = found["lam"].where(has_k)
    found["lam"] = found["lam"].mask(has_k)
    assert limits(spec(), found)[2] == (
        "Seeds: at least 3 seeds of SA-GSAE tied at H = 2d; 2 seeds of TopK at H = 4d."
    )


def test_the_same_seeds_at_another_place_are_no_more_seeds():
    grid = cells(("gated", 128, (1,), 2))
    other = grid.assign(hookpoint="resid")[:1]
    found = limits(spec(), pd.concat([grid, other]))[2]
    assert found.startswith("Seeds: at least 1 seed of Gated at H = 2d.")
    models = pd.concat([grid[:1], grid.assign(model="large")])
    assert limits(spec(), models)[2].startswith("Seeds: at least 1 seed of Gated")
