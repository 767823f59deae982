"""Sentences of the results page that compare: their numbers, from the committed measures."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from docs.tables import PAGES, columns_of, renewed
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.table import all_tables
from sagsae.comparison import sign_rates
from tests.helpers.committed import (
    D_MODEL,
    ROOT,
    at_65,
    dead_share,
    ends,
    gates_of_deep,
    measures,
    numbers,
    of,
    pairs,
    row,
    told,
)

FAMILIES = {"batchtopk": "absbatchtopk", "gated": "sagsae_tied"}
RECIPES = ("once-05m", "tuned")
PLACES = [(model, place) for model in D_MODEL for place in ("mlp_out", "attn", "resid")]


@pytest.mark.parametrize("page", [page for page in PAGES if "<!-- table:" in page.read_text()])
def test_the_tables_of_a_page_are_made_from_what_is_committed(page):
    assert renewed(page) == page.read_text(), "python -m docs.tables makes its tables anew"


def test_the_columns_that_are_explained_are_there():
    explained = 0
    for table in all_tables():
        kept = list((ROOT / "results/reference").glob(f"*/{table.path}"))
        if not kept:  # no published study has it
            continue
        there = {column for file in kept for column in read_table(file)}
        for names, _ in columns_of(table):
            explained += 1
            for name in re.findall(r"`(.+?)`", names):
                assert fnmatch.filter(there, name), f"{table.file} has no column {name}"
    assert explained > 40


def seeds(variant: str, width: int, recipe: str, **place: str) -> np.ndarray:
    """[seeds] R2."""
    found = of("sign", variant=variant, width=width, recipe=recipe, **place)
    return np.array([cell["r2"] for cell in sorted(found, key=lambda cell: cell["cell"]["seed"])])


def arms(times: int, recipe: str, **place: str) -> list[np.ndarray]:
    """R2 by seed of AbsBatchTopK at a multiple of d; then of BatchTopK at d, 2d, 4d and 8d."""
    d = D_MODEL[place["model"]]
    one = [seeds("batchtopk", m * d, recipe, **place) for m in (1, 2, 4, 8)]
    return [seeds("absbatchtopk", times * d, recipe, **place), *one]


def test_equal_width():
    assert numbers(" ".join(row("width, and so parameters"))) == ["1", "2", "4"]
    behind = set()
    for model, place in PLACES:
        for times in (1, 2, 4):
            two, *one = arms(times, "tuned", model=model, hookpoint=place)
            if two.mean() < one[(1, 2, 4).index(times)].mean():
                behind.add((model, place, times))
    assert behind == {(model, "mlp_out", 4) for model in D_MODEL}


def test_equal_bits():
    """Two sides are ahead at equal bits where one side of 2H has less R2."""
    ahead = set()
    for model, place in PLACES:
        for times in (1, 2, 4):
            two, *one = arms(times, "tuned", model=model, hookpoint=place)
            if two.mean() > one[(1, 2, 4).index(times) + 1].mean():
                ahead.add((model, place, times))
    assert numbers(" ".join(row("bits of a code"))) == ["1", "64", "2"]
    assert ahead == {(model, "attn", times) for model in D_MODEL for times in (1, 2, 4)}


def test_equal_compute():
    usual, long = [], []
    for place in pairs("mlp_out"):
        d = D_MODEL[place["model"]]
        for times in (1, 2, 4):
            one = {
                tokens: seeds("batchtopk", 2 * times * d, recipe, **place).mean()
                for tokens, recipe in ((1.5, "once-15m"), (4.5, "tuned"), (13.5, "thrice-45m"))
            }
            for tokens, recipe, gaps in ((4.5, "tuned", usual), (13.5, "thrice-45m", long)):
                half = np.interp(np.log(tokens / 2), np.log(list(one)), list(one.values()))
                two = seeds("absbatchtopk", times * d, recipe, **place)
                gaps.append(two.mean() - half)
    behind = ends((-gap for gap in long), ".3f")
    assert numbers(row("compute")[-1]) == [*ends(usual, ".3f"), "4.5", *behind, "13.5"]


@pytest.mark.parametrize("n", [3, 2])
def test_intervals_hold_the_multiplier(n):
    """Simulated where the spread is what was measured, and the truth a concave curve near it."""
    nominal, share = map(float, told("Brackets: 95 % interval of Student's t", 2))
    assert nominal == 95
    rng = np.random.default_rng(0)
    hits = [hit for place in pairs("mlp_out", "resid") for hit in simulated(n, rng, **place)]
    assert 100 * np.mean(hits) >= share


def simulated(n: int, rng: np.random.Generator, **place: str) -> list[bool]:
    """Whether each interval of n seeds holds the multiplier."""
    found = []
    for times in (1, 2, 4):
        two, *one = arms(times, "tuned", **place)
        (start, gain, kept), _ = curve_fit(
            concave, range(4), [x.mean() for x in one], (0.7, 0.1, 0.5)
        )
        reached = np.clip(two.mean(), start, concave(3, start, gain, kept))
        truth = 2 ** (np.log(1 - (reached - start) * (1 - kept) / gain) / np.log(kept)) / times
        for _ in range(100):
            drawn = [
                rng.normal(concave(i, start, gain, kept), x.std(ddof=1), n)
                for i, x in enumerate(one)
            ]
            signed = rng.normal(reached, two.std(ddof=1), n)
            interval = sign_rates.sign_rate(
                dict(zip((1, 2, 4, 8), drawn, strict=True)), signed, times
            )
            low, high = interval.low or 0, interval.high or np.inf
            found.append(bool(low <= truth <= high))
    return found


def concave(octaves: float, start: float, gain: float, kept: float) -> float:
    """A value of which each doubling gains a share of what the doubling before gained."""
    return start + gain * (1 - kept ** np.asarray(octaves, float)) / (1 - kept)


def test_what_the_law_predicts():
    laws = read_table(ROOT / "results/reference/sign/tables/scaling.csv")
    longest = ends(100 * laws["longest_error"], ".1f")
    assert told("- **The law interpolates well", 3) == [
        f"{100 * laws['fit_error'].max():.1f}",
        *longest,
    ]
    (smollm2,) = laws.query("variant == 'batchtopk' and model == 'smollm2-135m'").itertuples()
    assert smollm2.widest_step < smollm2.widest_error < smollm2.widest_flat
    assert smollm2.longest_flat < smollm2.longest_error < smollm2.longest_step
    deep = read_table(ROOT / "results/reference/deep/tables/scaling.csv")
    wide = deep[deep["widest_error"].notna()]
    assert told("- **In study `deep` the law fails", 3) == [
        *(f"{100 * error:.0f}" for error in wide["widest_error"]),
        f"{100 * deep['longest_error'].max():.0f}",
    ]
    assert (wide["widest_flat"] < wide["widest_error"]).all()


def test_where_the_intervals_of_few_and_of_more_tokens_meet():
    rates = read_table(ROOT / "results/reference/sign/tables/sign_rates.csv")
    asked = "family == 'batchtopk' and measure == 'r2' and hookpoint == 'mlp_out' and l0 == 65"
    gemma = rates.query(f"{asked} and model.str.startswith('gemma')", engine="python")
    few, more = (gemma[gemma["recipe"] == recipe].set_index("multiple") for recipe in RECIPES)
    rises = few.index[few["rate"] <= more["rate"]]
    meet = few.index[few["rate_low"] <= more["rate_high"]]
    assert told("From 0.5 M to 4.5 M tokens it does not fall") == [
        *("0.5", "4.5", *(f"{times:g}" for times in rises)),
        *(f"{times:g}" for times in meet),
    ]


def test_probes():
    better = dict.fromkeys(FAMILIES, 0)
    for one, two in FAMILIES.items():
        for model, place in PLACES:
            for times in (1, 2, 4):
                width = times * D_MODEL[model]
                found = (best_side(v, w, model, place) for v, w in ((two, width), (one, 2 * width)))
                better[one] += next(found) > next(found)
    batchtopk, gates = (str(count) for count in better.values())
    assert told("The best single latent predicts") == [batchtopk, "18", gates, "18"]


def best_side(variant: str, width: int, model: str, place: str) -> float:
    """Accuracy of the best single side at L0 = 65, over labels and seeds."""
    asked = {"model": model, "hookpoint": place, "variant": variant, "width": width}
    cells = [
        {"cell": cell["cell"], "l0": cell["l0"], "r2": accuracy}
        for line in measures("sign", "probe")
        for cell in line["cells"]
        if {**asked, "recipe": "tuned"}.items() <= cell["cell"].items()
        for accuracy in [np.mean([label["accuracy"][0] for label in cell["labels"]])]
    ]
    return at_65(cells)


def test_dead_latents_at_equal_width():
    one, two = [], []
    for model, d in D_MODEL.items():
        place = {"model": model, "hookpoint": "attn", "recipe": "tuned", "width": 4 * d}
        one.append(dead_share(variant="batchtopk", **place))
        two.append(dead_share(variant="absbatchtopk", **place))
    assert told("At 4d, 36 %") == ["4", *one, *two]


def test_gates_that_start_alike():
    over_gated, over_shut = (
        gates_of_deep("mean-long", "sagsae_tied", one) for one in ("gated", "sagsae_onesided")
    )
    gemma = "gemma3-270m", "attn"
    small = [f"{found[gemma].gap:.4f}" for found in (over_shut, over_gated)]
    assert told("In study `deep` (`mean-long`, 6 M tokens) the gain") == ["6", *reversed(small)]
    assert over_shut[gemma].gap < over_gated[gemma].gap


def test_budgets_of_deep():
    found = [gates_of_deep(recipe, "sagsae_tied", "gated") for recipe in ("long", "mean-long")]
    wins = {sum(x.dominates for x in places.values()) for places in found}
    ahead = {sum(x.gap > 0 for x in places.values()) for places in found}
    assert told("- **At 6 M tokens `sagsae_tied` strictly", 2) == [
        *("6", *map(str, wins), "64"),
        *map(str, ahead),
    ]


def test_poles():
    both = [100 * both_found("tuned", model, place) for model, place in PLACES]
    both += [100 * both_found("thrice-45m", model, "mlp_out") for model in D_MODEL]
    assert told("At most 3 % of signed latents have a match") == [f"{max(both):.0f}"]
    again = [found_again("thrice-45m", model, "mlp_out") for model in D_MODEL]
    assert told("Of unsigned latents of 4d, 44", 2) == [
        *("4", *(f"{100 * p:.0f}" for p in again), "13.5"),
        *(f"{100 * p**2:.0f}" for p in again),
    ]
    at_attn = [f"{100 * found_again('tuned', model, 'attn'):.0f}" for model in D_MODEL]
    assert told("Of unsigned latents of 4d, only") == ["4", *at_attn]


def both_found(recipe: str, model: str, place: str) -> float:
    """Share of the two-sided latents at 2d of which both directions have a match."""
    asked = {"model": model, "hookpoint": place, "recipe": recipe, "width": 2 * D_MODEL[model]}
    asked["variant"] = "absbatchtopk"
    shares = [
        pole["both"] / (pole["both"] + pole["one"] + pole["neither"])
        for line in measures("sign", "signs")
        for pole in line["poles"]
        if asked.items() <= pole["cell"].items()
    ]
    return float(np.mean(shares))


def found_again(recipe: str, model: str, place: str) -> float:
    """Share of the latents of BatchTopK at 4d that every other seed has, too."""
    asked = {"model": model, "hookpoint": place, "recipe": recipe, "width": 4 * D_MODEL[model]}
    asked["variant"] = "batchtopk"
    (found,) = (
        group["found"]
        for line in measures("sign", "signs")
        for group in line["agreements"]
        if asked.items() <= group["cells"][0].items()
    )
    return float(found)


def test_clipping():
    one, two = (
        sum(cell["jumped"] is not None for cell in of("sign", variant=variant, recipe="unclipped"))
        for variant in ("batchtopk", "absbatchtopk")
    )
    assert one == 0
    assert told("At Gemma, H = d, 8 of 9 runs") == [str(two), "9", "9"]
    clipped = [cell for cell in measures("sign") if cell["cell"]["recipe"] != "unclipped"]
    jumped = [cell["cell"] for cell in clipped if cell.get("jumped") is not None]
    assert {(cell["variant"], cell["model"]) for cell in jumped} == {
        ("absbatchtopk", "gemma3-270m")
    }
    runs = sum(cell["cell"]["variant"] == "absbatchtopk" for cell in clipped)
    assert told("With clipping, four of 114 runs") == [str(runs)]
    assert len(jumped) == 4


def test_what_collapses_at_a_high_learning_rate():
    """Wide and narrow; of each SA-GSAE and Gated, over both starts."""
    counts = []
    for widths in ((8, 16), (2, 4)):
        for variant, times in zip(("sagsae_tied", "gated"), widths, strict=True):
            cells = [
                cell
                for cell in measures("deep")
                if cell["cell"]["variant"] == variant
                and cell["cell"].get("recipe") in ("fast", "mean-fast")
                and cell["cell"]["width"] == times * D_MODEL[cell["cell"]["model"]]
            ]
            assert len(cells) == 36
            counts.append(str(sum(bool(cell["collapsed"]) for cell in cells)))
    assert told("- **At a learning rate of 3e-3", 2) == ["3", counts[0], "36", *counts[1:]]


def test_no_direction_is_a_dial():
    """Latents, pairs; the highest gain over random ones, and pairs that do not always rise."""
    rows = pd.concat(
        read_table(ROOT / "results/reference" / study / "tables/dial.csv")
        for study in ("deep", "competitors")
    )
    assert not rows["dial"].any()
    kinds = dict(iter(rows.groupby("kind")))
    latents, found = kinds["latent"], kinds["pair"]
    assert told("Of 384 latents that fire with both signs") == [
        *(str(len(latents)), str(len(found))),
        *(f"{of['times_random'].max():.1f}" for of in (latents, found)),
    ]
    assert kinds["random"]["monotone"].min() == latents["monotone"].min() == 1
    assert told("All latents raise the logit") == [str((found["monotone"] < 1).sum())]


def test_the_wide_dictionaries_are_undertrained():
    won = [
        sum(
            found.dominates
            for recipe in ("", "mean")
            for found in gates_of_deep(recipe, variant, variant, widths).values()
        )
        for variant, widths in (("gated", (4, 16)), ("sagsae_tied", (2, 8)))
    ]
    assert told("Over six hookpoints and two initialisations, Gated") == [
        *("4", "16", str(won[0]), "12"),
        *("2", "8", str(won[1]), "12"),
    ]


def quarters(*recipes: str, variants: Iterable[str] = ("gated",)) -> tuple[list[float], ...]:
    """Dead shares at Gemma's resid of the latents that began against the mean, and along it: means
    over the cells of a recipe and variant."""
    found = [
        [cell for cell in line["cells"] if cell["cell"]["variant"] == variant]
        for line in measures("sign-tuning", "signs")
        if (line["model"], line["hookpoint"]) == ("gemma3-270m", "resid")
        and line["recipe"] in recipes
        for variant in variants
    ]
    sound = [[cell for cell in cells if not cell["collapsed"]] for cells in found]
    return tuple(
        [float(np.mean([cell[name] for cell in cells])) for cells in sound if cells]
        for name in ("dead_against", "dead_along")
    )


def test_nats_that_train_for_real_compares_with():
    text = (ROOT / "docs/train-for-real.md").read_text()
    (told,) = re.findall(r"BatchTopK at 4d and k = 64 loses (.*)\.\n", text)
    lost: dict[str, list[float]] = {"mlp_out": [], "resid": []}
    for hookpoint, nats in lost.items():
        for model, d in D_MODEL.items():
            place = {"model": model, "hookpoint": hookpoint}
            cells = of("sign", variant="batchtopk", recipe="tuned", width=4 * d, **place)
            nats.append(float(np.mean([cell["ce_sae"] - cell["ce_clean"] for cell in cells])))
    assert numbers(told) == [*ends(lost["mlp_out"], ".2f"), *ends(lost["resid"], ".2f")]


def test_where_dead_latents_began():
    rates = ("", "slow", "shut", "slow-shut")
    against, along = quarters(*rates)
    assert told("With `b_dec` from zero, at 3e-4 and 7e-4, Gated loses") == [
        *("3", "7", *ends(against, ".2f"), f"{max(along):.2f}"),
    ]
    centred = quarters(
        *(f"mean-{rate}".rstrip("-") for rate in rates),
        variants=("gated", "sagsae_tied", "batchtopk", "absbatchtopk"),
    )
    assert told("With `b_dec` from the mean, at these learning rates, at most") == [
        f"{max(map(max, centred)):.3f}"
    ]
