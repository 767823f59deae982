"""What the results page and README say of study truth, computed again from its measures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import product

import numpy as np
from scipy.stats import rankdata, spearmanr, ttest_ind

from pipeline.analysis.csv_files import read_table
from tests.helpers.committed import (
    ROOT,
    both_poles,
    ends,
    measures,
    needed,
    of,
    pairs,
    told,
)
from tests.helpers.committed import rate as rate_of_sign

JUDGED = ("q0", "q100", "tree")
WIDTHS = {"mid": 176, "wide": 256}
L0, NEAR = 20, 1.5
TRUTHS = ("f1", "mcc")


def dimensions(model: str) -> int:
    return WIDTHS.get(model.rstrip("01"), 96)


def key(cell: dict) -> tuple:
    """The point that a cell is a seed of."""
    names = ("model", "variant", "width", "lam", "k", "recipe")
    return tuple(cell.get(name) for name in names)


def points(model: str, study: str = "truth") -> list[dict[str, float]]:
    """Means over seeds of what is seen and what is true, of the main recipe."""
    found, agreed = defaultdict(list), {}
    for cell in of(study, model=model, recipe=""):
        found[key(cell["cell"])].append(cell)
    for line in measures(study, "signs"):
        agreed |= {key(pair["cells"][0]): pair["assigned"] for pair in line["agreements"]}
    names = ("r2", "f1", "mcc", "l0", "true_l0", "features_found")
    return [
        {name: float(np.mean([cell.get(name, np.nan) for cell in cells])) for name in names}
        | {"width": cells[0]["cell"]["width"], "two": "abs" in at[1] or "sagsae" in at[1]}
        | {"consistency": agreed.get(at, np.nan)}
        for at, cells in found.items()
    ]


def correlation(
    among: Iterable[dict[str, float]], first: str, second: str, *, given: bool = False
) -> float:
    """Spearman's; where asked that of what a linear fit to the rank of L0, the width and the sign
    leaves of the ranks."""
    kept = [point for point in among if not np.isnan([point[first], point[second]]).any()]
    both = np.array([(point[first], point[second]) for point in kept])
    if not given:
        return float(spearmanr(*both.T)[0])
    widths = sorted({point["width"] for point in kept})[1:]
    known = np.array([[1, p["two"], *(p["width"] == w for w in widths)] for p in kept], float)
    known = np.column_stack([known, rankdata([point["l0"] for point in kept])])
    ranks = rankdata(both, axis=0)
    rest = ranks - known @ np.linalg.lstsq(known, ranks, rcond=None)[0]
    return float(np.corrcoef(rest.T)[0, 1])


def near_the_true_l0(among: Iterable[dict[str, float]]) -> list[dict[str, float]]:
    return [p for p in among if 1 / NEAR <= p["l0"] / p["true_l0"] <= NEAR]


def at_20(variant: str, times: int, model: str, name: str = "r2", recipe: str = "") -> np.ndarray:
    """[seeds] a number at L0 = 20, linear in log L0 between the two k or lambdas."""
    asked = {"variant": variant, "width": times * dimensions(model), "model": model}
    seeds = defaultdict(list)
    for cell in of("truth", recipe=recipe, **asked):
        seeds[cell["cell"]["seed"]].append((np.log(cell["l0"]), cell[name]))
    read = [np.array(sorted(pairs)).T for _, pairs in sorted(seeds.items())]
    return np.array([np.interp(np.log(L0), x, y, left=np.nan, right=np.nan) for x, y in read])


def rate(model: str, times: int) -> float:
    two = at_20("absbatchtopk", times, model).mean()
    one = np.maximum.accumulate([at_20("batchtopk", m, model).mean() for m in (1, 2, 4, 8)])
    return 1 / times if two <= one[0] else needed(two, list(one)) / times


def test_stability_predicts_f1_and_r2_in_both_directions():
    stable, r2 = (
        {model: correlation(points(model), seen, "f1", given=True) for model in JUDGED}
        for seen in ("consistency", "r2")
    )
    assert told("- **In narrow dictionaries, stability across seeds predicts F1", 2) == ends(
        stable.values(), ".2f"
    )
    flat = ends([r2["q0"], r2["q100"]], ".2f")
    assert told("- **In narrow dictionaries, R² predicts F1 in opposite", 3) == [
        *flat,
        f"{r2['tree']:.2f}",
    ]
    made = read_table(ROOT / "results/reference/truth/tables/visible.csv")
    asked = "visible == 'consistency' and points_from == 'all' and recipe == '' and width.isna()"
    lows = made[made["model"].isin(JUDGED)].query(asked, engine="python")["low"]
    assert len(lows) == 12  # plain and partial, of three models and two truths
    assert lows.min() > 0


def test_features_found_near_the_true_l0():
    near = near_the_true_l0(points("tree", "truth-tree"))
    said, found = told("- **At a known L0, R² predicts", 4), "features_found"
    expected = [
        correlation(near, "r2", found),
        correlation(near, "r2", found, given=True),
        correlation(near, "consistency", found, given=True),
        correlation(near_the_true_l0(points("tree")), "r2", "f1"),
    ]
    assert said[0] == str(NEAR)
    assert said[1::3] == [f"{x:.2f}" for x in expected]


def wide() -> list[dict[str, float]]:
    """The points of study truth-wide, with the share of live latents."""
    live = defaultdict(list)
    for cell in of("truth-wide"):
        live[key(cell["cell"])].append(1 - cell["dead_fraction"])
    among = points("tree", "truth-wide")
    shares = map(np.mean, live.values())
    return [point | {"alive": float(share)} for point, share in zip(among, shares, strict=True)]


def of_wide(variant: str, name: str, k: float) -> float:
    return float(np.mean([cell[name] for cell in of("truth-wide", variant=variant, k=k)]))


def at_l0_4(variant: str, name: str) -> float:
    """Of the means over seeds, linear in log L0 between two k or lambdas that enclose 4."""
    by_point = defaultdict(list)
    for cell in of("truth-wide", variant=variant):
        by_point[key(cell["cell"])].append((cell["l0"], cell[name]))
    x, y = np.array(sorted(tuple(np.mean(cells, 0)) for cells in by_point.values())).T
    return float(np.interp(np.log(4), np.log(x), y, left=np.nan, right=np.nan))


def test_wide_dictionaries():
    among = wide()
    assert len(among) == 20
    asked = [
        *(("r2", "features_found"), ("r2", "f1")),
        *(("consistency", "features_found"), ("consistency", "f1")),
        *(("r2", "mcc"), ("consistency", "mcc")),
    ]
    found = [correlation(among, *names, given=True) for names in asked]
    said = told("- **In wide dictionaries, R² predicts", 5)
    assert said[::3] == [f"{x:.2f}" for x in found]
    intervals = [
        (float(low), float(high)) for low, high in zip(said[1::3], said[2::3], strict=True)
    ]
    undecided = [low <= 0 <= high for low, high in intervals]
    assert undecided == [False, False, True, True, True, False]  # what the page's verdicts say


def test_wide_dictionaries_at_one_l0():
    variants = {cell["cell"]["variant"] for cell in of("truth-wide")}
    r2, found = ([at_l0_4(v, name) for v in sorted(variants)] for name in ("r2", "features_found"))
    there = ~np.isnan(r2)
    assert len(variants) == 10
    assert there.sum() == 6  # the six that the page counts
    one = spearmanr(np.array(r2)[there], np.array(found)[there])[0]
    assert told("- **At L0 = 4 of `truth-wide`", 2)[-1] == f"{one:.2f}"
    both = ("matryoshka_batchtopk", "batchtopk")
    assert told("- **A higher R² is no proof", 3)[1:] == [
        *(f"{at_l0_4(variant, 'r2'):.3f}" for variant in both),
        *(f"{at_l0_4(variant, 'f1'):.2f}" for variant in both),
        *("3", *(f"{of_wide(variant, 'features_found', 3):.0f}" for variant in both), "512"),
    ]
    both = ("absbatchtopk", "batchtopk")
    counts = [f"{of_wide(variant, 'features_found', 3):.0f}" for variant in both]
    assert told("- **Signed latents find fewer of these", 2) == ["3", *counts]


def test_dead_latents_of_wide_dictionaries():
    among = wide()
    dead = [100 * (1 - point["alive"]) for point in among]
    share = correlation(among, "alive", "features_found", given=True)
    said = told("- **Dead latents explain part of it", 3)
    assert said[:3] == [*ends(dead, ".0f"), f"{share:.2f}"]


def test_where_two_variants_were_trained():
    sparse = [points(f"{kind}{share}") for kind in WIDTHS for share in (0, 100)]
    assert {len(among) for among in sparse} == {14}
    found = {seen: [correlation(p, seen, "f1") for p in sparse] for seen in ("consistency", "r2")}
    said = [*ends(found["consistency"], ".2f"), *ends(found["r2"], ".2f")]
    assert told("- In 176 and 256 dimensions, BatchTopK", 3)[-4:] == said


def test_rates():
    assert rate("q0", 1) == rate("q100", 1) == np.inf
    for model in ("mid0", "wide0"):
        assert rate(model, 1) <= 1.03
        assert max(rate(model, 2), rate(model, 4)) < 1
    made = read_table(ROOT / "results/reference/truth/tables/sign_rates.csv")
    asked = made["model"].map({"q50": 1.5, "q100": 2, "mid100": 2, "wide100": 2, "signed": 2})
    chosen = asked.notna() & (made["family"] == "batchtopk") & (made["measure"] == "r2")
    assert chosen.sum() == 18  # five kinds of three widths, one of them after short training, too
    inside = (made["rate_low"] <= asked) & (asked <= made["rate_high"])
    assert not inside[chosen].any()
    raised = [rate(f"{kind}100", 1) - max(1, rate(f"{kind}0", 1)) for kind in WIDTHS]
    assert told("- **Opposites raise it where", 3) == [
        *(str(WIDTHS["mid"]), f"{raised[0]:.2f}"),
        *(str(WIDTHS["wide"]), f"{raised[1]:.2f}"),
    ]


def test_where_language_models_lie():
    found = [rate_of_sign(1, **place) for place in pairs("mlp_out", "resid")]
    assert told("- **Language models lie above")[-2:] == ends(found, ".2f")
    assert min(found) > rate("mid100", 1)


def test_features_found_by_two_sides():
    def ahead_at(model: str, two: int, one: int) -> bool:
        sides = at_20("absbatchtopk", two, model, "f1"), at_20("batchtopk", one, model, "f1")
        return bool(sides[0].mean() > sides[1].mean())

    kinds = {cell["cell"]["model"] for cell in measures("truth")}
    ahead = {k for k in kinds for t in (1, 2, 4) if ahead_at(k, t, t)}
    assert ahead == {"signed"}
    equal = {k for k in kinds if ahead_at(k, 1, 2)}
    assert equal == {"wide100", "signed"}
    assert told("- **Signed latents find fewer features", 3) == ["2", str(WIDTHS["wide"])]


def test_the_test_of_poles():
    by_kind = [dict(both_poles(name)).values() for name in ("q100", "mid100", "wide100")]
    none = max(share for _, share in both_poles("q0", "mid0", "wide0"))
    short = dict(both_poles("q0", "q100", recipe="short"))
    assert len(short) == 6
    assert not any(short.values())
    most = max(max(found) for found in by_kind)
    assert told("- **Our test for pairs of opposites", 4) == [f"{most:.0f}", "80", f"{none:.1f}"]


def test_the_order_of_families():
    names = ("topk", "batchtopk", "jumprelu", "matryoshka_batchtopk")
    found = [at_20(name, 4, "tree", "f1").mean() for name in names]
    assert found == sorted(found, reverse=True)
    assert np.isnan(at_20("relu", 4, "tree")).all()
    collapsed = [cell for cell in measures("truth") if cell["collapsed"]]
    assert {cell["cell"]["variant"] for cell in collapsed} == {"relu", "absrelu"}
    assert {cell["cell"]["lam"] for cell in collapsed} == {0.45, 0.75}
    assert told("- **It does not appear in study `truth`", 4) == [
        *("4", *(f"{value:.2f}" for value in found), "20"),
        *(str(len(collapsed)), f"{len(measures('truth')):,}"),
    ]


def sparse_rows(model: str, k: int, recipe: str, name: str) -> tuple[list[float], list[float]]:
    """A measure of the three seeds of Matryoshka and of BatchTopK."""
    asked = {"model": model, "k": k, "recipe": recipe}
    matryoshka, plain = (
        [cell[name] for cell in of("truth-order", variant=variant, **asked)]
        for variant in ("matryoshka_batchtopk", "batchtopk")
    )
    assert len(matryoshka) == len(plain) == 3
    return matryoshka, plain


def test_the_order_in_sparse_rows():
    """The criteria of the configuration, and the numbers of the page."""
    settings = [*product(("tree96", "tree256"), (8, 20), ("", "long"))]
    ahead, behind, lost = set(), set(), []
    for setting in settings:
        low, high = ttest_ind(*sparse_rows(*setting, "f1"), equal_var=False).confidence_interval()
        ahead |= {setting} if low > 0 else set()
        behind |= {setting} if high < 0 else set()
        matryoshka, plain = sparse_rows(*setting, "r2")
        lost.append(np.mean(plain) - np.mean(matryoshka))
    assert behind == {("tree96", 20, ""), ("tree96", 20, "long")}
    assert set(settings) - ahead - behind == {("tree96", 8, "")}
    best = [f"{np.mean(f1):.3f}" for f1 in sparse_rows("tree256", 8, "long", "f1")]
    published = ["0.879", "0.732"]
    assert told("- **It appears where activations are sparse", 5) == [
        *("8", "256", "10"),
        *best,
        *published,
        *("96", "20"),
        *ends(lost, ".3f"),
    ]
    assert best[0] == f"{max(np.mean(sparse_rows(*setting, 'f1')[0]) for setting in settings):.3f}"
