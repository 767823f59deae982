"""The overview of results and README's findings: each number, from the committed measures."""

from __future__ import annotations

from itertools import product

import numpy as np

from pipeline.analysis.csv_files import read_table
from tests.helpers.committed import (
    D_MODEL,
    ROOT,
    best_rate,
    both_poles,
    dead_share,
    ends,
    finding,
    gain_on_gauss,
    gains,
    gates_of_deep,
    half_width,
    measures,
    millions,
    numbers,
    of,
    pairs,
    poles,
    rate,
    readme_section,
)
from tests.test_known_features_page import (
    JUDGED,
    correlation,
    points,
    wide,
)
from tests.test_results_page import both_found
from tests.test_transcoders_page import SKIP
from tests.test_transcoders_page import gains as over_linear

HOOKPOINTS = [*product(D_MODEL, ("mlp_out", "attn", "resid"))]


def readme(number: int) -> list[str]:
    """Numbers of a finding of README."""
    return numbers(readme_section("Findings").split("\n- ")[number])


def rates(times: int, *hookpoints: str, form: str, **asked: str) -> list[str]:
    """The lowest and the highest width multiplier at a multiple of d."""
    return ends([rate(times, **asked, **place) for place in pairs(*hookpoints)], form)


def test_which_metric_to_believe():
    stable, r2 = (
        {model: correlation(points(model), seen, "f1", given=True) for model in JUDGED}
        for seen in ("consistency", "r2")
    )
    narrow, among = points("tree", "truth-tree"), wide()
    found = [f"{correlation(x, 'r2', 'features_found', given=True):.2f}" for x in (narrow, among)]
    f1 = [*r2.values(), correlation(among, "r2", "f1", given=True)]
    assert readme(1) == [*found, *ends(f1, ".2f")]
    said = finding(1)
    assert [said[0], said[3]] == found
    assert said[6:10] == [*ends([r2["q0"], r2["q100"]], ".2f"), *ends(stable.values(), ".2f")]
    assert said[10] == f"{correlation(among, 'consistency', 'f1', given=True):.2f}"
    seeds = {cell["cell"]["seed"] for cell in of("truth", recipe="", model="tree")}
    counts = [len(x) for x in (narrow, among, *map(points, JUDGED))]
    assert said[13:] == [str(len(seeds)), *ends(counts, "d")]


def test_width_multipliers():
    usual, long = {"recipe": "tuned"}, {"recipe": "thrice-45m"}
    tokens, more = (millions(of("sign", variant="absbatchtopk", **x)) for x in (usual, long))
    both = ("mlp_out", "resid")
    best = {t: [best_rate(t, **place) for place in pairs("mlp_out")] for t in (1, 4)}
    assert readme(2) == [
        *(tokens, *rates(1, *both, form=".1f", **usual), *rates(4, *both, form=".1f", **usual)),
        *(*ends(best[1], ".1f"), *ends(best[4], ".1f")),
    ]
    assert finding(2) == [
        *(tokens, *rates(1, *both, form=".2f", **usual), *rates(4, *both, form=".2f", **usual)),
        *("4", more, *rates(1, "mlp_out", form=".2f", **long)),
        *(*rates(4, "mlp_out", form=".2f", **long), "3", "2", more, *ends(best[1], ".2f")),
    ]


def test_attn():
    gained, dead = [], []
    for model, d in D_MODEL.items():
        place = {"model": model, "hookpoint": "attn", "recipe": "tuned"}
        gained += gains(**place)
        dead.append(dead_share(variant="batchtopk", width=4 * d, **place))
        drawn, real = gain_on_gauss(model, "attn"), half_width("sign", 2, d, **place)
        assert abs(drawn - real) < 0.0011
    assert min(gained) > 0
    assert len(gained) == 6
    assert finding(3) == [*ends(gained, ".3f"), "3", "4", *dead]


def test_opposites():
    real = {"hookpoint": "mlp_out", "recipe": "once-15m"}
    gauss = [
        half_width("sign-nulls", 2, d, model=f"{model.split('-')[0]}-gauss", recipe="gauss")
        for model, d in D_MODEL.items()
    ]
    kept = [half_width("sign", 2, d, model=model, **real) for model, d in D_MODEL.items()]
    both = [
        100 * both_found(recipe, m, "mlp_out")
        for recipe in ("tuned", "thrice-45m")
        for m in D_MODEL
    ]
    known = max(share for _, share in both_poles("q100", "mid100", "wide100"))
    assert finding(4) == [
        *(f"{max(both):.0f}", *(f"{gain:.3f}" for gain in (*gauss, *kept))),
        *("2", "3", f"{known:.0f}"),
    ]
    nulls = [
        poles("sign-nulls", null, d)
        for null in ("gauss", "redrawn", "frozen")
        for d in D_MODEL.values()
    ]
    assert np.max(nulls) < 0.2


def test_claims_of_the_paper():
    """Recipes of sign-tuning at 3e-4 and 7e-4, gates active and inactive; of deep, from either
    initialisation."""
    zero = [dead_against(recipe) for recipe in ("", "shut", "slow", "slow-shut")]
    centred = [dead_against(f"mean{recipe}") for recipe in ("", "-shut", "-slow", "-slow-shut")]
    assert min(zero) > 0.8
    assert max(centred) == 0
    won = {
        recipe: sum(x.dominates for x in gates_of_deep(recipe, "sagsae_tied", "gated").values())
        for recipe in ("", "mean", "long", "mean-long")
    }
    short, long = (millions(of("deep", recipe=name)).split(".")[0] for name in ("mean", "long"))
    assert won["long"] == won["mean-long"]
    said = [short, str(won[""]), "6", str(won["mean"]), long, str(won["long"])]
    assert readme(3) == said
    assert finding(5) == [*said, "1"]


def test_families():
    ranks = read_table(ROOT / "results/reference/competitors/tables/ranking_summary.csv")
    best = ranks[(ranks["variant"] == "batchtopk") & (ranks["l0"] == 64)].set_index("recipe")
    mean = {recipe: f"{best['mean_rank'][recipe]:.1f}" for recipe in ("matched", "paper")}
    tokens = {millions([cell]) for cell in measures("competitors")}
    (six,) = {text.split(".")[0] for text in tokens}
    assert finding(6) == ["64", six, mean["matched"], mean["paper"], "1"]


def test_training():
    lost = [
        cell["r2"] < 0
        for cell in measures("collapse")
        if cell["cell"]["width"] == 5120
        and cell["cell"].get("recipe") in ("rate1p2em3", "rate1p35em3")
    ]
    assert finding(7)[2:4] == [str(sum(lost)), str(len(lost))]


def test_transcoders():
    found = over_linear(SKIP)
    tokens = {millions([cell]) for cell in measures("places")}
    assert readme(4) == [*tokens, *ends(found, ".3f")]
    assert finding(8)[:2] == ends(found, ".3f")


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
