"""README's "What came out": each of its numbers, computed again from the committed measures."""

from __future__ import annotations

from math import comb, log2

import numpy as np
import pytest

from tests.helpers.committed import (
    D_MODEL,
    ROOT,
    at_65,
    best_rate,
    both_poles,
    dead_share,
    dead_that_start_shut,
    ends,
    gain_of_gates,
    gain_on_gauss,
    gains,
    gates_of_deep,
    half_width,
    lost_by_epochs,
    measures,
    millions,
    numbers,
    of,
    pairs,
    poles,
    rate,
    readme_section,
)


def said(number: int) -> list[str]:
    """Numbers of a bullet, in order; zero: of the paragraph and the table above the first."""
    return numbers(readme_section("What came out").split("\n- ")[number])


def rows() -> list[list[str]]:
    """Numbers of each row of the table."""
    lines = readme_section("What came out").splitlines()
    return [numbers(line) for line in lines if line.startswith("|")][2:]


def test_the_study():
    studies = (ROOT / "results/reference").glob("*/measures")
    everything = sum(len(measures(folder.parent.name)) for folder in studies)
    truth = sum(len(measures(name)) for name in ("truth", "truth-order"))
    assert said(0)[:3] == [f"{n:,}" for n in (everything, everything - truth, truth)]


@pytest.mark.parametrize(
    ("row", "two", "one", "hookpoints", "recipe"),
    [
        (0, "absbatchtopk", "batchtopk", ("mlp_out", "resid"), "tuned"),
        (1, "sagsae_tied", "gated", ("mlp_out", "resid"), "tuned"),
        (2, "absbatchtopk", "batchtopk", ("mlp_out",), "thrice-45m"),
    ],
)
def test_rates(row: int, two: str, one: str, hookpoints: tuple[str, ...], recipe: str):
    places = pairs(*hookpoints)
    assert len(places) == 2 * len(hookpoints)
    of_d, of_2d, of_4d = (
        [rate(times, two, one, recipe=recipe, **place) for place in places] for times in (1, 2, 4)
    )
    cells = of("sign", variant=two, recipe=recipe)
    seeds = len({cell["cell"]["seed"] for cell in cells})
    assert rows()[row] == [millions(cells), str(seeds), *ends(of_d, ".1f"), *ends(of_4d, ".1f")]
    assert all(a > b > c for a, b, c in zip(of_d, of_2d, of_4d, strict=True))


def test_half_the_width_of_batchtopk():
    gemma, smollm2 = (max(gains("once-15m", **place)) for place in pairs("mlp_out"))
    once = max(-gain for place in pairs("mlp_out", "resid") for gain in gains("tuned", **place))
    long = max(-gain for place in pairs("mlp_out") for gain in gains("thrice-45m", **place))
    short, usual, longest = (
        millions(of("sign", recipe=recipe)) for recipe in ("once-15m", "tuned", "thrice-45m")
    )
    epochs = dict.fromkeys(
        f"{cell['training']['tokens'] / 2**19:.0f}"
        for recipe in ("nine-05m", "twenty-seven-05m")
        for cell in of("sign-controls", recipe=recipe, variant="absbatchtopk")
    )
    best, tuned = (
        [[f"{rated(times, **place):.2f}" for place in pairs("mlp_out")] for times in (1, 4)]
        for rated in (best_rate, rate)
    )
    assert said(2) == [
        *(short, f"{smollm2:.3f}", f"{gemma:.3f}"),
        *(usual, f"{once:.3f}", longest, f"{long:.3f}"),
        *(*epochs, "4", *ends(lost_by_epochs(), ".3f"), *best[0], *tuned[0]),
        *(*best[1], "4", *tuned[1]),
    ]
    for place in pairs("mlp_out"):
        gaps = np.subtract(gains("thrice-15m", **place), gains("tuned", **place))
        assert abs(gaps).max() < 0.001


def test_attn():
    """Gains of BatchTopK, here and on Gaussian rows. Of each model its dead latents at 4d on one
    side and on two; gains of gates of d, and the most dead latents of Gated of 2d; gains over
    one-sided gates that start shut, and the dead of these."""
    one, two, gained, gates, gated_dead = [], [], [], [], []
    for model, d in D_MODEL.items():
        place = {"model": model, "hookpoint": "attn", "recipe": "tuned"}
        gained += gains(**place)
        one.append(dead_share(variant="batchtopk", width=4 * d, **place))
        two.append(dead_share(variant="absbatchtopk", width=4 * d, **place))
        gated = of("sign", variant="gated", width=2 * d, **place)
        tied = of("sign", variant="sagsae_tied", width=d, **place)
        gates.append(f"{at_65(tied) - at_65(gated):.3f}")
        gated_dead += [cell["dead_fraction"] for cell in gated]
    gauss = [f"{gain_on_gauss(model, 'attn'):.3f}" for model in D_MODEL]
    most = f"{np.ceil(100 * max(gated_dead)):.0f}"
    shut = [f"{gain_of_gates(model=model, hookpoint='attn'):.3f}" for model in D_MODEL]
    assert said(3) == [
        *(*ends(gained, ".3f"), *gauss),
        *("4", *one, *two, "2", *gates, most),
        *("2", "4", *shut, *dead_that_start_shut()),
    ]


def test_opposites():
    real = {"hookpoint": "mlp_out", "recipe": "once-15m"}
    gauss, cosines, floor = [], [], []
    for model, d in D_MODEL.items():
        place = {"model": f"{model.split('-')[0]}-gauss", "recipe": "gauss"}
        gauss.append(format(half_width("sign-nulls", 2, d, **place), ".3f"))
        cosines.append([format(np.mean(one), ".2f") for one in poles("sign", "once-15m", d)])
        floor += [poles("sign-nulls", null, d) for null in ("gauss", "redrawn", "frozen")]
    gemma, smollm2 = (half_width("sign", 2, d, model=m, **real) for m, d in D_MODEL.items())
    _, weaker = zip(*cosines, strict=True)
    assert said(4) == [
        *(*gauss, f"{gemma:.3f}", f"{smollm2:.3f}"),
        *(*set(weaker), *ends(np.ravel(floor), ".2f"), millions(of("sign", **real))),
        f"{max(share for _, share in both_poles('q100', 'mid100', 'wide100')):.0f}",
    ]


def test_claims_of_the_paper():
    """Recipes of sign-tuning at 3e-4 and 7e-4, gates open and shut; of deep, from either start."""
    zero = [dead_against(recipe) for recipe in ("", "shut", "slow", "slow-shut")]
    centred = [dead_against(f"mean{recipe}") for recipe in ("", "-shut", "-slow", "-slow-shut")]
    fast = [dead_against(recipe) for recipe in ("fast-shut", "mean-fast")]
    short = [gates_of_deep(recipe, "sagsae_tied", "gated") for recipe in ("", "mean")]
    long = [gates_of_deep(recipe, "sagsae_tied", "gated") for recipe in ("long", "mean-long")]
    wide = gates_of_deep("mean", "sagsae_tied", "gated", (8, 16))
    wins, late = ([sum(x.dominates for x in of.values()) for of in two] for two in (short, long))
    wins.append(sum(x.dominates for x in wide.values()))
    budgets = [millions(of("deep", recipe=recipe)).split(".")[0] for recipe in ("mean", "long")]
    (ahead,) = {sum(x.gap > 0 for x in found.values()) for found in long}
    assert said(5) == [
        *("3", "7", *ends((100 * x for x in zero), ".0f"), "1.5"),
        *(budgets[0], *map(str, wins[:2]), "2", "4", str(wins[2]), "8", "16"),
        *(budgets[1], *map(str, set(late)), "64", str(ahead)),
    ]
    assert max(centred) == 0
    assert min(fast) > 0.8


def test_bits_of_a_code():
    """A two-sided code of k = 64 against a one-sided code of twice the width."""
    for d in D_MODEL.values():
        for width in (d, 2 * d, 4 * d):
            two, one = log2(comb(width, 64)) + 64, log2(comb(2 * width, 64))
            assert abs(two / one - 1) < 0.01
    assert said(0)[3:6] == ["1", "2", "64"]


def dead_against(recipe: str) -> float:
    """Dead share of Gated's latents that begin against the mean, at Gemma's resid."""
    cells = [
        cell
        for line in measures("sign-tuning", "signs")
        if (line["model"], line["hookpoint"], line["recipe"]) == ("gemma3-270m", "resid", recipe)
        for cell in line["cells"]
        if cell["cell"]["variant"] == "gated" and not cell["collapsed"]
    ]
    return float(np.mean([cell["dead_against"] for cell in cells]))
