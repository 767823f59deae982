"""README's "What came out": each of its numbers, computed again from the committed measures.

Neither the committed tables nor any code of the project is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
D_MODEL = {"gemma3-270m": 640, "smollm2-135m": 576}


def section() -> str:
    """What stands below the head, without targets of links and names of code."""
    parts = re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.M)
    (found,) = (text for text in parts if text.startswith("What came out\n"))
    return re.sub(r"\]\([^)]*\)|`[^`]*`", "", found)


def said(number: int) -> list[str]:
    """Numbers of a bullet, in order; zero: of the paragraph and the table above the first."""
    return numbers(section().split("\n- ")[number])


def rows() -> list[list[str]]:
    """Numbers of each row of the table."""
    return [numbers(line) for line in section().splitlines() if line.startswith("|")][2:]


def numbers(text: str) -> list[str]:
    """In order, as written, with a sign where they have one; of 8d the 8."""
    return re.findall(r"(?<![\w-])-?\d+(?:,\d{3})*(?:\.\d+)?", text)


@cache
def measures(study: str, kind: str = "cells") -> list[dict]:
    """Lines of a file of measures."""
    path = ROOT / "results/reference" / study / "measures" / f"{kind}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def of(study: str, **asked: object) -> list[dict]:
    """Measures of the cells that have these settings and did not collapse."""
    cells = measures(study)
    return [c for c in cells if asked.items() <= c["cell"].items() and not c["collapsed"]]


def mean(found: Iterable[dict], name: str = "r2") -> float:
    """Over seeds, of which there are at least two."""
    values = [cell[name] for cell in found]
    assert len(values) > 1
    return float(np.mean(values))


def pairs(*hookpoints: str) -> list[dict]:
    """The (model, hookpoint) at which `sign` has BatchTopK cells of its main recipe."""
    cells = [c["cell"] for c in of("sign", variant="absbatchtopk", recipe="tuned")]
    found = sorted({(c["model"], c["hookpoint"]) for c in cells if c["hookpoint"] in hookpoints})
    return [{"model": model, "hookpoint": place} for model, place in found]


def rate(times: int, two: str = "absbatchtopk", one: str = "batchtopk", **place: str) -> float:
    """The width, over that of two sides, at which one side has their R2; else infinity."""
    d, place = D_MODEL[place["model"]], {"recipe": "tuned", **place}
    reached = at_65(of("sign", variant=two, width=times * d, **place))
    values = [at_65(of("sign", variant=one, width=m * d, **place)) for m in (1, 2, 4, 8)]
    assert values == sorted(values)
    return 2 ** float(np.interp(reached, values, [0, 1, 2, 3], right=np.inf)) / times


def at_65(sweep: list[dict]) -> float:
    """R2 at L0 = 65: of its one k, or linear in log L0 between its lambdas, one within 2 %."""
    l0, r2 = curve(sweep)
    assert len({cell["cell"]["seed"] for cell in sweep}) > 1
    assert len(l0) == 1 or l0[0] - 0.02 < np.log(65) < l0[-1] + 0.02
    return float(np.interp(np.log(65), l0, r2))


def curve(sweep: list[dict]) -> np.ndarray:
    """[2, lambdas or k]: log L0 in order, and R2, means over seeds."""
    points: dict[float | None, list[tuple[float, float]]] = {}
    for cell in sweep:
        points.setdefault(cell["cell"].get("lam"), []).append((cell["l0"], cell["r2"]))
    l0, r2 = np.array(sorted(tuple(np.mean(point, axis=0)) for point in points.values())).T
    return np.array([np.log(l0), r2])


def half_width(study: str, times: int, d: int, **place: str) -> float:
    """R2 of two sides at times d minus that of one side at twice this width."""
    two = mean(of(study, variant="absbatchtopk", width=times * d, **place))
    return two - mean(of(study, variant="batchtopk", width=2 * times * d, **place))


def ends(values: Iterable[float], form: str) -> list[str]:
    """The smallest and the largest, as text; one where both read the same."""
    found = sorted(values)
    return list(dict.fromkeys((format(found[0], form), format(found[-1], form))))


def dominates(candidate: list[dict], baseline: list[dict]) -> bool:
    """Whether R2 is higher at all L0 that both sweeps reach, linear in log L0 between lambdas."""
    (x, y), (x0, y0) = curve(candidate), curve(baseline)
    low, high = max(x[0], x0[0]), min(x[-1], x0[-1])
    at = np.array([v for v in (*x, *x0) if low <= v <= high])
    return bool(low < high and (np.interp(at, x, y) > np.interp(at, x0, y0)).all())


def millions(cells: list[dict]) -> str:
    """Tokens that each of these cells was trained on."""
    (tokens,) = {round(cell["training"]["tokens"] / 1e6, 1) for cell in cells}
    return f"{tokens:g}"


def test_the_study():
    studies = (ROOT / "results/reference").glob("*/measures")
    everything = sum(len(measures(folder.parent.name)) for folder in studies)
    assert said(0)[0] == f"{everything:,}"


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
    assert said(1) == [
        *(short, f"{smollm2:.3f}", f"{gemma:.3f}"),
        *(usual, f"{once:.3f}", longest, f"{long:.3f}"),
    ]
    for place in pairs("mlp_out"):
        gaps = np.subtract(gains("thrice-15m", **place), gains("tuned", **place))
        assert abs(gaps).max() < 0.001


def gains(recipe: str, **place: str) -> list[float]:
    """Of R2, by two sides at half the width of one side: 2d, 4d and 8d."""
    d = D_MODEL[place["model"]]
    return [half_width("sign", times, d, recipe=recipe, **place) for times in (1, 2, 4)]


def test_attn():
    """Of each model: gains of BatchTopK, its dead latents on one side at 8d and the most on two
    sides; gains of gates of d, and the most dead latents of Gated of 2d."""
    one, two, gained, gates, gated_dead = [], [], [], [], []
    for model, d in D_MODEL.items():
        place = {"model": model, "hookpoint": "attn", "recipe": "tuned"}
        gained += gains(**place)
        one.append(dead(variant="batchtopk", width=8 * d, **place))
        two.append(
            max((dead(variant="absbatchtopk", width=m * d, **place) for m in (1, 2, 4)), key=int)
        )
        gated = of("sign", variant="gated", width=2 * d, **place)
        tied = of("sign", variant="sagsae_tied", width=d, **place)
        gates.append(f"{at_65(tied) - at_65(gated):.3f}")
        gated_dead += [cell["dead_fraction"] for cell in gated]
    most = f"{np.ceil(100 * max(gated_dead)):.0f}"
    assert said(2) == [*ends(gained, ".3f"), *one, "8", *two, "2", *gates, most]


def dead(**asked: object) -> str:
    """Of a sweep of `sign`, in percent."""
    return f"{100 * mean(of('sign', **asked), 'dead_fraction'):.0f}"


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
    assert said(3) == [
        *(*gauss, f"{gemma:.3f}", f"{smollm2:.3f}"),
        *(*set(weaker), *ends(np.ravel(floor), ".2f")),
    ]


def poles(study: str, recipe: str, d: int) -> list[list[float]]:
    """Mean best cosines of the better and of the other direction, at 2d of one mlp_out."""
    found = [pole for line in measures(study, "signs") for pole in line["poles"]]
    asked = {"width": 2 * d, "hookpoint": "mlp_out", "recipe": recipe}
    found = [pole for pole in found if asked.items() <= pole["cell"].items()]
    assert len(found) > 1
    return [[pole[name] for pole in found] for name in ("stronger", "weaker")]


def test_claims_of_the_paper():
    """Recipes of sign-tuning at 3e-4 and 7e-4, gates open and shut; of deep, from the mean."""
    zero = [dead_against(recipe) for recipe in ("", "shut", "slow", "slow-shut")]
    centred = [dead_against(f"mean{recipe}") for recipe in ("", "-shut", "-slow", "-slow-shut")]
    long = of("deep", recipe="mean-long")
    ahead = 0
    for model, d in D_MODEL.items():
        for hookpoint in ("mlp_out", "attn", "resid"):
            place = {"model": model, "hookpoint": hookpoint, "recipe": "mean-long"}
            half = of("deep", variant="sagsae_tied", width=2 * d, **place)
            ahead += dominates(half, of("deep", variant="gated", width=4 * d, **place))
    assert said(4) == [*ends((100 * x for x in zero), ".0f"), millions(long).split(".")[0]]
    assert (max(centred), ahead) == (0, 0)


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
