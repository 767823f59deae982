"""What the controls of study `sign` leave of its numbers, as the results page has it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipeline.analysis.csv_files import read_table
from tests.helpers.committed import (
    D_MODEL,
    MLP_OUT,
    ROOT,
    at_65,
    best_rate,
    control,
    ends,
    gain_of_gates,
    gain_on_gauss,
    half_width,
    lost_by_epochs,
    mean,
    needed,
    numbers,
    of,
    rate,
    row,
    told,
)

MODEL, D = MLP_OUT["model"], D_MODEL[MLP_OUT["model"]]
PLACES = ("mlp_out", "attn", "resid")


def test_learning_rates():
    best = {times: best_rate(times) for times in (1, 4)}
    said = row("a learning rate tuned at 2d")
    assert numbers(said[2]) == [
        *(f"{best[1]:.2f}", f"{rate(1, **MLP_OUT):.2f}"),
        *("4", f"{best[4]:.2f}", f"{rate(4, **MLP_OUT):.2f}"),
    ]
    rates = read_table(ROOT / "results/reference/sign/tables/sign_rates.csv")
    asked = "variant == 'absbatchtopk' and recipe == 'tuned' and measure == 'r2' and l0 == 65"
    known = rates.query(f"{asked} and model == '{MODEL}' and hookpoint == 'mlp_out'")
    low, high = (known.set_index("multiple")[f"rate_{end}"] for end in ("low", "high"))
    assert {times for times in best if low[times] <= best[times] <= high[times]} == {1}
    assert best[4] < low[4]
    assert said[3] == "the rate at 4d **falls**"


def test_gates_that_start_alike():
    shut, opened = [gain_of_gates(place) for place in PLACES], []
    for place in PLACES:
        asked = {"model": MODEL, "hookpoint": place, "recipe": "tuned"}
        two, one = (
            at_65(of("sign", variant=variant, width=width, **asked))
            for variant, width in (("sagsae_tied", 2 * D), ("gated", 4 * D))
        )
        opened.append(two - one)
    said = row("gates that start shut")
    assert gaps(said[2]) == [f"{gap:+.3f}" for gap in (*shut, *opened)]
    at_attn = {"model": MODEL, "hookpoint": "attn", "variant": "sagsae_onesided", "width": 4 * D}
    dead = [100 * cell["dead_fraction"] for cell in of("sign-controls", **at_attn)]
    assert numbers(said[3]) == ends(dead, ".0f")
    assert [gap > 0 for gap in shut] == [gap > 0 for gap in opened] == [False, True, False]


def gaps(text: str) -> list[str]:
    """The numbers of a text that have a sign."""
    return re.findall(r"[+-]\d\.\d+", text)


def test_unique_tokens():
    again = []
    for recipe in ("nine-05m", "twenty-seven-05m"):
        asked = {"recipe": recipe, **MLP_OUT}
        one = [control(variant="batchtopk", width=times * D, **asked) for times in (1, 2, 4)]
        two = control(variant="absbatchtopk", width=D, **asked)
        again.append(needed(two, one))
    usual = [rate(1, recipe=recipe, **MLP_OUT) for recipe in ("tuned", "thrice-45m")]
    assert np.abs(np.subtract(again, usual)).max() < 0.1
    found = [f"{value:.2f}" for value in (*again, *usual)]
    *_, came_out, so = row("unique tokens")
    assert numbers(came_out) == [*found, "4.5"]
    assert numbers(so) == ["4", lost_by_epochs()]


def test_language():
    drawn = [gain_on_gauss(place) for place in ("mlp_out", "attn")]
    real = [
        half_width("sign", 2, D, model=MODEL, hookpoint=place, recipe="tuned")
        for place in ("mlp_out", "attn")
    ]
    assert gaps(row("language")[2]) == [f"{gap:+.3f}" for gap in (*drawn, *real)]
    assert [gap > 0 for gap in drawn] == [True, True]
    assert [gap > 0 for gap in real] == [False, True]


def test_five_seeds():
    five = []
    for place in PLACES:
        asked = {"model": MODEL, "hookpoint": place, "recipe": "tuned"}
        two, one = (
            [
                *of("sign", variant=variant, width=times * D, **asked),
                *of("sign-controls", variant=variant, width=times * D, seed=3, **asked),
                *of("sign-controls", variant=variant, width=times * D, seed=4, **asked),
            ]
            for variant, times in (("absbatchtopk", 2), ("batchtopk", 4))
        )
        assert len(two) == len(one) == 5
        five.append(mean(two) - mean(one))
        three = half_width("sign", 2, D, **asked)
        assert np.sign(five[-1]) == np.sign(three)
    assert gaps(row("three seeds")[2]) == [f"{gap:+.4f}" for gap in five]


@pytest.mark.parametrize(
    ("start", "times", "recipe", "kind", "sign"),
    [
        ("16d has R2 0.807: the law expected 1.2 % too much", 16, "tuned", "wider", 1),
        (
            "4d after 27 M tokens has 0.809: it expected 5.1 % too little",
            4,
            "six-45m",
            "longer",
            -1,
        ),
    ],
)
def test_what_was_predicted(start: str, times: int, recipe: str, kind: str, sign: int):
    found = control(variant="batchtopk", width=times * D, recipe=recipe, **MLP_OUT)
    predictions = read_table(ROOT / "results/reference/sign/tables/predictions.csv")
    asked = f"variant == 'batchtopk' and model == '{MODEL}' and hookpoint == 'mlp_out'"
    (said,) = predictions.query(f"{asked} and kind == '{kind}' and width == {times * D}")["r2"]
    error = 100 * ((1 - said) / (1 - found) - 1)
    assert told(start)[-2:] == [f"{found:.3f}", f"{sign * error:.1f}"]
