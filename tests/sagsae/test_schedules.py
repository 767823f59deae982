"""Learning rate and lambda at every step, against their definitions; which recipes there are."""

from __future__ import annotations

import pytest

from sagsae.schedules import CHOICES, Recipe


def recipe(**changes) -> Recipe:
    return Recipe(**{"steps": 10, "batch_size": 4, "lam": 0.5, "learning_rate": 8.0} | changes)


def test_what_is_not_given():
    found = recipe().described()  # without the settings whose default says nothing
    assert {name: found[name] for name in found.keys() - {"steps", "batch_size", "lam"}} == {
        "learning_rate": 8.0,
        "beta1": 0.0,
        "beta2": 0.999,
        "lr_warmup_steps": 0,
        "lr_decay_fraction": 0.2,
        "lambda_warmup_steps": 0,
        "theta_init": 1.2,
        "reset_window_tokens": 0,
        "matmul_dtype": "auto",
    }


def test_gradients_are_not_clipped_unless_a_limit_is_given():
    assert recipe().clip_gradient_norm == 0.0
    assert "clip_gradient_norm" not in recipe(clip_gradient_norm=0.0).described()
    assert recipe(clip_gradient_norm=1.0).described()["clip_gradient_norm"] == 1.0


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("b_dec_init", "zero"),
        ("gate_init", "matched"),
        ("decoder_norm", "free"),
        ("auxiliary_decoder", "trained"),
        ("b_dec_init", "median"),
        ("lr_warmup_shape", "cosine"),
        ("encoder_input", "plain"),
        ("input_norm", "sqrt_d"),
        ("threshold_parameter", "log"),
        ("level_reduction", "mean"),
    ],
)
def test_a_setting_has_some_words_and_takes_no_other(name, other):
    default = getattr(recipe(), name)
    assert recipe(**{name: other}).described()[name] == other
    with pytest.raises(ValueError, match=f"^{name} is 'none': choose ({default}|{other}) or ") as e:
        recipe(**{name: "none"})
    assert set(CHOICES[name]) == set(str(e.value).partition("choose ")[2].split(" or "))


def test_rows_start_at_another_norm_only_where_norms_are_free():
    assert recipe(decoder_norm="free", decoder_init_norm=0.1).decoder_init_norm == 0.1
    with pytest.raises(ValueError, match=r"^decoder_init_norm is for decoder_norm='free': choose"):
        recipe(decoder_init_norm=0.1)


def test_the_rate_rises_stays_and_falls():
    """Warm-up of 3 steps: quarters. Decay over the last 4 of 10, which ends a step above zero."""
    rates = recipe(lr_warmup_steps=3, lr_decay_fraction=0.4)
    expected = [2.0, 4.0, 6.0, 8.0, 8.0, 8.0, 8.0, 6.0, 4.0, 2.0]
    assert [rates.lr_at(step) for step in range(10)] == expected


def test_where_rise_and_fall_meet_the_smaller_counts():
    rates = recipe(lr_warmup_steps=7, lr_decay_fraction=0.8)
    assert [rates.lr_at(step) for step in range(10)] == [1, 2, 3, 4, 5, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("step", [0, 5, 9])
def test_without_warm_up_and_decay_the_rate_stays(step):
    assert recipe(lr_decay_fraction=0.0).lr_at(step) == 8.0


def test_a_decay_of_less_than_a_step_and_of_one_leave_the_last_step_whole():
    assert recipe(lr_decay_fraction=0.05).lr_at(9) == 8.0
    assert recipe(lr_decay_fraction=0.1).lr_at(9) == 8.0
    assert recipe(steps=1, lr_decay_fraction=1.0).lr_at(0) == 8.0
    assert recipe(lr_decay_fraction=0.08).lr_at(9.6) == pytest.approx(4.0)


def test_lambda_rises_from_zero():
    rising = recipe(lambda_warmup_steps=4)
    expected = [0.0, 0.125, 0.25, 0.375, 0.5, 0.5]
    assert [rising.lambda_at(step) for step in range(6)] == expected
    assert [recipe(lambda_warmup_steps=1).lambda_at(step) for step in range(3)] == [0.0, 0.5, 0.5]
    assert recipe().lambda_at(0) == 0.5
