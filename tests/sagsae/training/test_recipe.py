"""Learning rate and lambda at every step, against their definitions; which recipes there are."""

from __future__ import annotations

import math

import pytest

from sagsae.training.recipe import Recipe


def recipe(**changes) -> Recipe:
    return Recipe(**{"steps": 10, "batch_size": 4, "lam": 0.5, "learning_rate": 8.0} | changes)


def test_a_setting_has_some_words_and_takes_no_other():
    assert recipe(b_dec_init="zero").described()["b_dec_init"] == "zero"
    with pytest.raises(ValueError, match=r"^b_dec_init: 'none': choose mean or zero or median$"):
        recipe(b_dec_init="none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lam": math.nan}, "lam: nan is no number"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0: give a value above 0"),
        ({"steps": 2.5}, "steps: 2.5 is no whole number"),
        ({"steps": True}, "steps: True is no whole number"),
        ({"beta1": -0.1}, "beta1: -0.1: give a value at least 0 and below 1"),
        ({"lr_decay_fraction": 1.5}, "lr_decay_fraction: 1.5: give a value at least 0 and at most"),
        ({"adam_epsilon": 0.0, "k": -1}, "k: -1: .*; adam_epsilon: 0.0: "),
        ({"threshold_parameter": "log", "threshold_init": 0.0}, "threshold_init: zero has no log"),
        ({"lam": 0.1, "k": 3}, "k: a variant has lam or k"),
    ],
)
def test_a_value_out_of_its_range_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        recipe(**changes)


@pytest.mark.parametrize(
    ("variant", "changes", "fault"),
    [
        ("gated", {"theta_init": 2.0, "reset_window_tokens": 9}, ""),
        ("relu", {"theta_init": 2.0}, "theta_init"),
        ("gated", {"bandwidth": 0.1, "auxk_latents": 3}, "auxk_latents, bandwidth"),
        ("topk", {}, "topk takes k"),
        ("gated", {"lam": 0.0, "k": 3}, "gated takes lam"),
        ("their_package:Sae", {"theta_init": 2.0, "bandwidth": 0.1}, ""),
    ],
)
def test_settings_of_another_family_are_refused(variant, changes, fault):
    asked = recipe(**changes)
    if not fault:
        asked.check_variant(variant)
        return
    with pytest.raises(ValueError, match=f"^{fault}"):
        asked.check_variant(variant)


def test_rows_start_at_another_norm_only_where_norms_are_free():
    assert recipe(decoder_norm="free", decoder_init_norm=0.1).decoder_init_norm == 0.1
    with pytest.raises(ValueError, match=r"^decoder_init_norm: give 1, or decoder_norm: free"):
        recipe(decoder_init_norm=0.1)


def test_the_rate_rises_stays_and_falls():
    """Warm-up of 3 steps: quarters. Decay over the last 4 of 10, which ends a step above zero."""
    rates = recipe(lr_warmup_steps=3, lr_decay_fraction=0.4)
    expected = [2.0, 4.0, 6.0, 8.0, 8.0, 8.0, 8.0, 6.0, 4.0, 2.0]
    assert [rates.lr_at(step) for step in range(10)] == expected


def test_lambda_rises_from_zero():
    rising = recipe(lambda_warmup_steps=4)
    expected = [0.0, 0.125, 0.25, 0.375, 0.5, 0.5]
    assert [rising.lambda_at(step) for step in range(6)] == expected
    assert [recipe(lambda_warmup_steps=1).lambda_at(step) for step in range(3)] == [0.0, 0.5, 0.5]
    assert recipe().lambda_at(0) == 0.5


def test_a_cosine_warm_up_starts_at_a_tenth():
    """Of 3 steps: after 1 to 4 quarters of half a turn."""
    rates = recipe(lr_warmup_steps=3, lr_decay_fraction=0.0, lr_warmup_shape="cosine")
    quarter = (1 - math.sqrt(0.5)) / 2
    shares = [0.1 + 0.9 * quarter, 0.55, 0.1 + 0.9 * (1 - quarter), 1.0, 1.0]
    assert [rates.lr_at(step) / 8 for step in range(5)] == pytest.approx(shares)


def test_k_falls_to_its_value():
    falling = recipe(lam=0.0, k=8, k_warmup_steps=4)
    assert [falling.k_at(step, 24) for step in range(6)] == [24, 20, 16, 12, 8, 8]
    assert [falling.k_at(step, 6) for step in (0, 2, 4)] == [8, 8, 8], "never below it"
    assert recipe(lam=0.0, k=8).k_at(0, 24) == 8


def test_levels_of_nested_groups_ascend_to_one():
    assert recipe(matryoshka_levels=[0.5, 1.0]).matryoshka_levels == (0.5, 1.0)
    assert recipe(matryoshka_levels=[1.0]).matryoshka_levels == (1.0,)
    for wrong in ([], [0.0, 1.0], [0.5, 0.5, 1.0], [0.6, 0.5, 1.0], [0.25, 0.5], [0.5, 2.0]):
        with pytest.raises(
            ValueError, match=r"^matryoshka_levels: \[.*\] must ascend from above 0"
        ):
            recipe(matryoshka_levels=wrong)
