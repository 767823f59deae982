"""Numbers that pages tell, computed again from the committed measures.

Neither the committed tables nor any code of the project is used.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
D_MODEL = {"gemma3-270m": 640, "smollm2-135m": 576}


def numbers(text: str) -> list[str]:
    """In order, as written, with a sign where they have one; of 8d the 8."""
    return re.findall(r"(?<![\w-])-?\d+(?:,\d{3})*(?:\.\d+)?", text)


def results_pages() -> str:
    """The text of the overview and of its pages by topic."""
    return "\n".join(page.read_text() for page in sorted((ROOT / "docs").glob("results*.md")))


def told(start: str, sentences: int = 1) -> list[str]:
    """Numbers of the sentences of the results pages that begin so, names of code aside."""
    page = " ".join(results_pages().split())
    (_, after) = page.split(start)
    text = " ".join(re.split(r"(?<=\.)(?:\*\*)? ", start + after)[:sentences])
    return numbers(re.sub(r"`[^`]*`", "", text))


def row(start: str) -> list[str]:
    """Cells of the row of a table of the results pages that begins so, without names of code."""
    (found,) = (line for line in results_pages().splitlines() if line.startswith(f"| {start}"))
    return [re.sub(r"`[^`]*`", "", cell).strip() for cell in found.strip("|").split("|")]


def readme_section(head: str) -> str:
    """What stands below this head of README, without targets of links and names of code."""
    return _section(ROOT / "README.md", head)


def finding(number: int) -> list[str]:
    """Numbers of a finding of the overview of results, but for what to believe and to doubt."""
    (head,) = re.findall(rf"^## ({number}\. .+)$", (ROOT / "docs/results.md").read_text(), re.M)
    return numbers(_section(ROOT / "docs/results.md", head))


def _section(page: Path, head: str) -> str:
    parts = re.split(r"^## ", page.read_text(), flags=re.M)
    (found,) = (text for text in parts if text.startswith(f"{head}\n"))
    return re.sub(r"\]\([^)]*\)|`[^`]*`", "", found.partition("\n")[2])


@cache
def measures(study: str, kind: str = "cells") -> list[dict]:
    """Lines of a file of measures."""
    path = ROOT / "results/reference" / study / "measures" / f"{kind}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def of(study: str, **asked: object) -> list[dict]:
    """Measures of the cells that have these settings (recipe "": none) and did not collapse."""
    sound = [cell for cell in measures(study) if not cell["collapsed"]]
    return [c for c in sound if asked.items() <= {"recipe": "", **c["cell"]}.items()]


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
    return needed(reached, values) / times


def needed(reached: float, values: list[float]) -> float:
    """The width in d at which one side, whose values at d, 2d, 4d ... are given, reaches another
    value; else infinity. Between them a monotone cubic in the logarithm of the width (Fritsch and
    Butland, 1984)."""
    if reached > max(values):
        return np.inf
    steps = np.diff(values)
    left, right = steps[:-1], steps[1:]
    alike = left * right > 0
    inner = np.where(alike, 2 * left * right / np.where(alike, left + right, 1), 0)
    slopes = [end_slope(*steps[:2]), *inner, end_slope(*steps[:-3:-1])]
    t = np.linspace(0, 1, 100_001)
    for i, step in enumerate(steps):
        if values[i + 1] >= reached:
            a, b = slopes[i : i + 2]
            curve = values[i] + a * t + (3 * step - 2 * a - b) * t**2 + (a + b - 2 * step) * t**3
            return 2 ** (i + float(t[np.argmax(curve >= reached)]))
    raise AssertionError


def end_slope(near: float, next_one: float) -> float:
    """Of the monotone cubic at an end, from the two steps there."""
    slope = (3 * near - next_one) / 2
    if slope * near <= 0:
        return 0
    return 3 * near if near * next_one < 0 and abs(slope) > 3 * abs(near) else slope


# Where `sign-controls` has most of its cells, in the order of the page.
MLP_OUT = [{"model": model, "hookpoint": "mlp_out"} for model in reversed(D_MODEL)]


def control(**asked: object) -> float:
    """R2 of the one cell of `sign-controls` that has these settings."""
    (cell,) = of("sign-controls", **asked)
    return float(cell["r2"])


def gain_of_gates(**place: str) -> float:
    """R2 of `sagsae_tied` of 2d minus that of a one-sided gate of 4d that starts shut."""
    d, place = D_MODEL[place["model"]], {"recipe": "tuned", **place}
    two = of("sign", variant="sagsae_tied", width=2 * d, **place)
    one = of("sign-controls", variant="sagsae_onesided", width=4 * d, **place)
    return at_65(two) - at_65(one, seeds=1)


def dead_that_start_shut() -> list[str]:
    """The fewest and the most dead latents of the one-sided gates of 4d at `attn` that start shut,
    in percent."""
    found = of("sign-controls", variant="sagsae_onesided", hookpoint="attn")
    wide = [cell for cell in found if cell["cell"]["width"] == 4 * D_MODEL[cell["cell"]["model"]]]
    return ends([100 * cell["dead_fraction"] for cell in wide], ".0f")


def gain_on_gauss(model: str, hookpoint: str) -> float:
    """R2 of two sides of 2d minus that of one side of 4d, on 4.5 M Gaussian rows of a model."""
    place, d = {"model": f"{model.split('-')[0]}-gauss", "hookpoint": hookpoint}, D_MODEL[model]
    two = control(variant="absbatchtopk", width=2 * d, **place)
    return two - control(variant="batchtopk", width=4 * d, **place)


def lost_by_epochs() -> list[float]:
    """R2 of BatchTopK of 4d after 4.5 M tokens seen once, or thrice, minus that after 0.5 M tokens
    seen 9, or 27 times; of each model."""
    recipes, lost = {"nine-05m": "tuned", "twenty-seven-05m": "thrice-45m"}, []
    for place in MLP_OUT:
        asked = {"variant": "batchtopk", "width": 4 * D_MODEL[place["model"]], **place}
        for again, usual in recipes.items():
            lost.append(mean(of("sign", recipe=usual, **asked)) - control(recipe=again, **asked))
    return lost


def best_rate(times: int, **place: str) -> float:
    """The rate with the best of four learning rates at each width; one seed."""

    def best(variant: str, times: int) -> float:
        asked = {"variant": variant, "width": times * D_MODEL[place["model"]], "seed": 0}
        (once,) = of("sign", recipe="tuned", **asked, **place)
        others = [control(recipe=r, **asked, **place) for r in ("half", "twice", "fourfold")]
        return max(once["r2"], *others)

    values = [best("batchtopk", one) for one in (1, 2, 4, 8)]
    return needed(best("absbatchtopk", times), values) / times


def at_65(sweep: list[dict], *, seeds: int = 2) -> float:
    """R2 at L0 = 65: of its one k, or linear in log L0 between its lambdas, one within 2 %; of so
    many seeds or more."""
    l0, r2 = curve(sweep)
    assert len({cell["cell"]["seed"] for cell in sweep}) >= seeds
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


class Gates(NamedTuple):
    """How a gate of 2d does against one of 4d."""

    dominates: bool
    # R2 of the first minus that of the second at L0 = 64; not a number where either is not read.
    gap: float


def gates_of_deep(
    recipe: str, two: str, one: str, widths: tuple[int, int] = (2, 4)
) -> dict[tuple[str, str], Gates]:
    """(model, hookpoint) of `deep` -> how the first does against the second."""
    found = {}
    for model, d in D_MODEL.items():
        for hookpoint in ("mlp_out", "attn", "resid"):
            place = {"model": model, "hookpoint": hookpoint, "recipe": recipe}
            sweeps = [
                of("deep", variant=variant, width=times * d, **place)
                for variant, times in zip((two, one), widths, strict=True)
            ]
            read = [np.interp(np.log(64), *curve(x), left=np.nan, right=np.nan) for x in sweeps]
            found[model, hookpoint] = Gates(dominates(*sweeps), float(read[0] - read[1]))
    return found


def gains(recipe: str, **place: str) -> list[float]:
    """Of R2, by two sides at half the width of one side: 2d, 4d and 8d."""
    d = D_MODEL[place["model"]]
    return [half_width("sign", times, d, recipe=recipe, **place) for times in (1, 2, 4)]


def poles(study: str, recipe: str, d: int) -> list[list[float]]:
    """Mean best cosines of the better and of the other direction, at 2d of one mlp_out."""
    found = [pole for line in measures(study, "signs") for pole in line["poles"]]
    asked = {"width": 2 * d, "hookpoint": "mlp_out", "recipe": recipe}
    found = [pole for pole in found if asked.items() <= pole["cell"].items()]
    assert len(found) > 1
    return [[pole[name] for pole in found] for name in ("stronger", "weaker")]


def both_poles(*models: str, recipe: str = "") -> Iterator[tuple[tuple[str, int], float]]:
    """(Model, width) of `truth`, and the percentage of two-sided latents of AbsBatchTopK of which
    both poles are found, mean over cells."""
    shares = defaultdict(list)
    for line in measures("truth", "signs"):
        for pole in line["poles"]:
            cell, found = pole["cell"], [pole[name] for name in ("both", "one", "neither")]
            if (
                cell["model"] in models
                and cell["variant"] == "absbatchtopk"
                and cell.get("recipe", "") == recipe
            ):
                shares[cell["model"], cell["width"]].append(found[0] / sum(found))
    for at, values in shares.items():
        yield at, 100 * float(np.mean(values))


def dead_share(**asked: object) -> str:
    """Dead latents of a sweep of `sign`, in percent."""
    return f"{100 * mean(of('sign', **asked), 'dead_fraction'):.0f}"
