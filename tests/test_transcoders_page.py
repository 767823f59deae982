"""What the results page and README say of study places, computed again from its measures."""

from __future__ import annotations

from itertools import product

import numpy as np

from tests.helpers.committed import D_MODEL, ends, measures, of, told

PLACES = [*product(["gemma3-270m"], (3, 9, 15)), *product(["smollm2-135m"], (5, 15, 25))]
PLAIN, SKIP, AUTOENCODER = ("mlp_in-mlp_added", ""), ("mlp_in-mlp_added", "skip"), ("mlp_added", "")
KINDS = (PLAIN, SKIP, AUTOENCODER)
K = 32


def cells(place: tuple[str, int], kind: tuple[str, str], **asked: object) -> list[dict]:
    """In the order of their seeds."""
    (model, layer), (hookpoint, recipe) = place, kind
    found = of("places", model=model, hookpoint=f"l{layer}.{hookpoint}", recipe=recipe, **asked)
    return sorted(found, key=lambda cell: cell["cell"]["seed"])


def seeds(place: tuple[str, int], kind: tuple[str, str], two: bool = False, k: int = K) -> dict:
    """R2 and nats [seeds] of BatchTopK at 2d, or of two sides at d."""
    d, variant = D_MODEL[place[0]], "absbatchtopk" if two else "batchtopk"
    found = cells(place, kind, variant=variant, width=d if two else 2 * d, k=k)
    assert len(found) == (3 if k == K else 1)
    r2 = np.array([cell["r2"] for cell in found])
    return {"r2": r2, "nats": np.array([cell["ce_sae"] - cell["ce_clean"] for cell in found])}


def r2(place: tuple[str, int], kind: tuple[str, str], two: bool = False, k: int = K) -> float:
    return float(seeds(place, kind, two, k)["r2"].mean())


def linear(place: tuple[str, int]) -> float:
    """R2 of the best linear map."""
    (value,) = {cell["linear_r2"] for cell in cells(place, PLAIN)}
    return value


def gains(kind: tuple[str, str]) -> np.ndarray:
    """Of R2 over the linear map, at each place."""
    return np.array([r2(place, kind) - linear(place) for place in PLACES])


def side(kind: tuple[str, str]) -> np.ndarray:
    """R2 of two sides minus that of one, at each place."""
    return np.array([r2(place, kind, True) - r2(place, kind) for place in PLACES])


def ahead(first: np.ndarray, second: np.ndarray) -> str:
    """Whose nats are lower in all seeds."""
    if (first < second).all():
        return "first"
    return "second" if (first > second).all() else "undecided"


def together(kind: tuple[str, str]) -> dict[str, np.ndarray]:
    """Model -> nats [seeds] of BatchTopK of all its layers at once, at k = 32."""
    found: dict[str, list[tuple[int, float]]] = {}
    for run in measures("places", "replaced"):
        for each in run["sets"]:
            cell = each["cells"][0]["cell"]
            at = cell["hookpoint"].partition(".")[2], cell.get("recipe", "")
            if at == kind and cell["variant"] == "batchtopk" and cell["k"] == K:
                nats = each["ce_all"] - run["ce_clean"]
                found.setdefault(cell["model"], []).append((cell["seed"], nats))
    return {model: np.array(sorted(pairs))[:, 1] for model, pairs in found.items()}


def test_the_linear_map():
    plain, skip = gains(PLAIN), gains(SKIP)
    (below,) = [place for place, gain in zip(PLACES, plain, strict=True) if gain < 0]
    assert below == ("smollm2-135m", 15)
    assert skip.min() > 0
    assert told("- **An unsigned transcoder beats the best linear map", 4) == [
        *ends(plain[plain > 0], ".3f"),
        *("15", f"{-plain.min():.3f}", *ends(skip, ".3f")),
    ]


def test_nats_of_one_layer():
    found = {
        kind: {p: ahead(seeds(p, kind)["nats"], seeds(p, AUTOENCODER)["nats"]) for p in PLACES}
        for kind in (PLAIN, SKIP)
    }
    won = {kind: [p for p in PLACES if found[kind][p] == "first"] for kind in found}
    assert won[SKIP] == [("gemma3-270m", 3), ("gemma3-270m", 9), ("smollm2-135m", 15)]
    assert won[PLAIN] == [("gemma3-270m", 3)]
    assert "undecided" not in {word for at in found.values() for word in at.values()}
    told_skip = sorted(won[SKIP], reverse=True, key=lambda place: place[0])
    layers = [str(layer) for _, layer in told_skip + won[PLAIN]]
    assert told("- **By CE loss neither", 3) == layers


def test_sides():
    plain, skip, autoencoder = (side(kind) for kind in KINDS)
    assert max(plain.max(), skip.max()) < 0
    (gained,) = np.flatnonzero(autoencoder > 0)
    assert PLACES[gained] == ("gemma3-270m", 3)
    assert told("- **Signed latents of half the width lose", 4) == [
        *(*ends(-plain, ".3f"), *ends(-skip, ".3f")),
        *(*ends(-autoencoder[autoencoder < 0], ".3f"), f"{autoencoder[gained]:.3f}", "3"),
    ]


def test_more_latents():
    """With a skip R2 falls with k where latents have two sides, and rises where they have one."""
    for place in PLACES:
        two, one = ([r2(place, SKIP, sides, k) for k in (16, K, 64)] for sides in (True, False))
        assert two[0] > two[2]
        assert one == sorted(one)


def test_all_layers_at_once():
    skip, autoencoder = together(SKIP), together(AUTOENCODER)
    assert ahead(skip["gemma3-270m"], autoencoder["gemma3-270m"]) == "first"
    assert ahead(skip["smollm2-135m"], autoencoder["smollm2-135m"]) == "second"


def test_depth():
    for kind, two in product(KINDS, (False, True)):
        gemma, smollm2 = (
            [r2(place, kind, two) for place in PLACES if place[0] == model]
            for model in ("gemma3-270m", "smollm2-135m")
        )
        assert gemma == sorted(gemma, reverse=True)
        if kind != AUTOENCODER:
            assert max(smollm2) == smollm2[1]


def at_32(variant: str, layer: int) -> float:
    """R2 without a skip, linear in log L0 between lambdas; not a number beyond them."""
    found = cells(("smollm2-135m", layer), PLAIN, variant=variant)
    assert len(found) == 3
    l0, values = np.array(sorted((np.log(cell["l0"]), cell["r2"]) for cell in found)).T
    return float(np.interp(np.log(K), l0, values, left=np.nan, right=np.nan))


def test_gates():
    gated, tied, jumprelu = (
        [at_32(name, layer) for layer in (5, 15)] for name in ("gated", "sagsae_tied", "jumprelu")
    )
    one, two = ([r2(("smollm2-135m", x), PLAIN, sides) for x in (5, 15)] for sides in (False, True))
    assert np.less(gated, one).all()
    assert np.greater(tied, two).all()
    assert np.isnan([jumprelu[0], at_32("jumprelu", 25)]).all()
    lambdas = [c for c in measures("places") if c["cell"].get("lam") and c["cell"].get("recipe")]
    assert max(cell["l0"] for cell in lambdas) < K
    collapsed = [cell for cell in lambdas if cell["collapsed"]]
    assert len(collapsed) == sum(cell["collapsed"] != [] for cell in measures("places"))
    assert told("- SmolLM2, one seed, no skip", 4) == [
        *("32", *(f"{value:.3f}" for value in gated), "5", "15"),
        *(f"{value:.3f}" for value in tied),
        *("15", f"{jumprelu[1]:.3f}", str(len(collapsed)), str(len(lambdas))),
    ]
