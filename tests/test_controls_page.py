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
    dead_that_start_shut,
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

PLACES = ("mlp_out", "attn", "resid")
# Of the cells of a row: what a control finds of each model, and what follows.
OF_MODEL, SO = {"smollm2-135m": 2, "gemma3-270m": 3}, 4
MODELS = pytest.mark.parametrize("model", OF_MODEL)


@MODELS
def test_learning_rates(model):
    place = {"model": model, "hookpoint": "mlp_out"}
    best, tuned = (
        {times: rated(times, **place) for times in (1, 4)} for rated in (best_rate, rate)
    )
    said = numbers(row("a learning rate tuned at 2d")[OF_MODEL[model]])
    assert [text for text in said if text != "4"] == [
        f"{found[times]:.2f}" for times in (1, 4) for found in (best, tuned)
    ]
    rates = read_table(ROOT / "results/reference/sign/tables/sign_rates.csv")
    asked = "variant == 'absbatchtopk' and recipe == 'tuned' and measure == 'r2' and l0 == 65"
    known = rates.query(f"{asked} and model == '{model}' and hookpoint == 'mlp_out'")
    lowest = known.set_index("multiple")["rate_low"]
    below = {times for times in best if best[times] < lowest[times]}
    assert below == ({4} if model == "smollm2-135m" else {1, 4})


@MODELS
def test_gates_that_start_alike(model):
    shut, opened, d = [], [], D_MODEL[model]
    for hookpoint in PLACES:
        place = {"model": model, "hookpoint": hookpoint}
        shut.append(gain_of_gates(**place))
        two, one = (
            at_65(of("sign", variant=variant, width=width, recipe="tuned", **place))
            for variant, width in (("sagsae_tied", 2 * d), ("gated", 4 * d))
        )
        opened.append(two - one)
    said = row("gates initialised inactive")
    assert gaps(said[OF_MODEL[model]]) == [f"{gap:+.3f}" for gap in (*shut, *opened)]
    assert numbers(said[SO]) == dead_that_start_shut()
    assert [gap > 0 for gap in shut] == [gap > 0 for gap in opened] == [False, True, False]


def gaps(text: str) -> list[str]:
    """The numbers of a text that have a sign."""
    return re.findall(r"[+-]\d\.\d+", text)


@MODELS
def test_unique_tokens(model):
    again, place, d = [], {"model": model, "hookpoint": "mlp_out"}, D_MODEL[model]
    for recipe in ("nine-05m", "twenty-seven-05m"):
        asked = {"recipe": recipe, **place}
        one = [control(variant="batchtopk", width=times * d, **asked) for times in (1, 2, 4)]
        again.append(needed(control(variant="absbatchtopk", width=d, **asked), one))
    usual = [rate(1, recipe=recipe, **place) for recipe in ("tuned", "thrice-45m")]
    assert np.abs(np.subtract(again, usual)).max() < 0.1
    said = row("unique tokens")
    found = [f"{value:.2f}" for value in (*again, *usual)]
    assert numbers(said[OF_MODEL[model]])[:4] == found
    assert numbers(said[SO]) == ["4", *ends(lost_by_epochs(), ".3f")]


@MODELS
def test_language(model):
    places = [{"model": model, "hookpoint": place} for place in ("mlp_out", "attn")]
    drawn = [gain_on_gauss(**place) for place in places]
    real = [half_width("sign", 2, D_MODEL[model], recipe="tuned", **place) for place in places]
    assert gaps(row("language")[OF_MODEL[model]]) == [f"{gap:+.3f}" for gap in (*drawn, *real)]
    assert [gap > 0 for gap in drawn] == [True, True]
    assert [gap > 0 for gap in real] == [False, True]


@MODELS
def test_five_seeds(model):
    five, d = [], D_MODEL[model]
    for place in PLACES:
        asked = {"model": model, "hookpoint": place, "recipe": "tuned"}
        two, one = (
            [
                *of("sign", variant=variant, width=times * d, **asked),
                *of("sign-controls", variant=variant, width=times * d, seed=3, **asked),
                *of("sign-controls", variant=variant, width=times * d, seed=4, **asked),
            ]
            for variant, times in (("absbatchtopk", 2), ("batchtopk", 4))
        )
        assert len(two) == len(one) == 5
        five.append(mean(two) - mean(one))
        assert np.sign(five[-1]) == np.sign(half_width("sign", 2, d, **asked))
    assert gaps(row("three seeds")[OF_MODEL[model]]) == [f"{gap:+.4f}" for gap in five]


# Width in d, tokens in millions -> recipe, and kind of prediction.
PREDICTED = {(16, "4.5"): ("tuned", "wider"), (4, "27"): ("six-45m", "longer")}


def test_what_was_predicted():
    """The table's rows, and how far the law was off."""
    predictions, off = read_table(ROOT / "results/reference/sign/tables/predictions.csv"), []
    for place, name in zip(MLP_OUT, ("SmolLM2", "Gemma"), strict=True):
        for (times, tokens), (recipe, kind) in PREDICTED.items():
            wide = times * D_MODEL[place["model"]]
            found = control(variant="batchtopk", width=wide, recipe=recipe, **place)
            asked = "variant == 'batchtopk' and hookpoint == 'mlp_out'"
            asked += f" and model == '{place['model']}' and kind == '{kind}' and width == {wide}"
            ((law, flat, step),) = predictions.query(asked)[["r2", "r2_flat", "r2_step"]].to_numpy()
            shown = row(f"{name}, {times}d, {tokens} M tokens")[1:]
            assert shown == [f"{value:.3f}" for value in (found, law, flat, step)]
            off.append(100 * abs((1 - law) / (1 - found) - 1))
            if kind == "longer":
                assert abs(flat - found) < abs(law - found)
    assert told("- **Predictions that were committed")[-2:] == ends(off, ".1f")
