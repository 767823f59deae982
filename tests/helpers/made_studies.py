"""Made-up studies with known answers: one builder, and a configuration and results of each.

In all, R2 is linear in log L0. A result is of a cell and of d_model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.study.cell import Cell
from pipeline.study.study import Study
from sagsae.autoencoders.registry import sides, stem
from tests.helpers.made_looks import make_looks
from tests.helpers.made_study import MadeStudy, metrics_of, write_metrics

LAMBDAS = [0.05, 0.1, 0.2]
Result = Callable[[Cell, int], dict[str, Any]]


def made(raw: dict[str, Any], result: Result) -> MadeStudy:
    """Write the metrics of every cell, and what probes measured where the study probes."""
    study = Study.from_dict(raw)
    made_study = write_metrics(study, result)
    make_looks(study, "probe")
    return made_study


def compared(
    half: float, full: float, *levels: float, names: tuple[str, str] = ("sagsae_tied", "gated")
) -> dict[str, Any]:
    """A comparison of two widths, in multiples of d_model, that is read off at levels of L0."""
    candidate, baseline = names
    return {
        "candidate": {"variant": candidate, "expansion": half},
        "baseline": {"variant": baseline, "expansion": full},
        "matched_l0": list(levels),
    }


def on_the_curve(l0: float) -> float:
    """R2 of the curve that variants are lifted from."""
    return 0.6 + 0.1 * math.log(l0 / 80)


# Every variant at every width that the paper compares -----------------------------------------

LIFT = {
    "gated": 0.0,
    "sagsae": 0.0405,
    "sagsae_sym": 0.0395,
    "sagsae_tied": 0.04,
    "sagsae_noaux": -0.5,
    "sagsae_onesided": -0.06,
}
"""R2 above the Gated curve at equal L0."""
WIDTHS = {"gated": (2, 4), "sagsae_tied": (2, 4)}
"""Widths in multiples of d_model of the variants that have two."""
MAIN = {("sagsae_tied", 2), ("gated", 4)}
DEAD = {"gated": 0.6, "sagsae_noaux": 0.98}
LOSS_RECOVERED = {"sagsae_noaux": 0.27}


def configuration(**changes: Any) -> dict[str, Any]:
    """The study's configuration: two models of random weights that are never made."""
    grid = [
        {
            "variant": variant,
            "expansion": width,
            "lambdas": LAMBDAS,
            "seeds": [0, 1, 2] if (variant, width) in MAIN else [0],
        }
        for variant in LIFT
        for width in WIDTHS.get(variant, (2,))
    ]
    source = {"kind": "random", "architecture": "gpt_neox", "parameters": {"num_hidden_layers": 2}}
    models = [("small", 64), ("large", 96)]
    return {
        "study": "made-grid",
        "note": "Made-up numbers.",
        "claims": "sa_gsae",
        "models": [
            {"name": name, "source": source, "d_model": d, "layer": 1} for name, d in models
        ],
        "hookpoints": ["mlp_out", "attn", "resid"],
        "text": {"source": {"kind": "random", "documents": 100, "words": 20}},
        "dump": {"train_rows": 8192, "heldout_rows": 8192},
        "grid": grid,
        "training": {"tokens": 819200},
        "comparisons": [compared(2, 4, 64)],
    } | changes


def result_of_grid(cell: Cell, d_model: int) -> dict[str, Any]:
    """The candidate loses at attn of the small model by 0.01."""
    variant, full = cell.variant, cell.width == 4 * d_model
    l0 = (8 / cell.lam) * (1 + 0.01 * cell.seed)
    r2 = on_the_curve(l0) + LIFT[variant] + 0.001 * (cell.seed - 1)
    if variant == "gated" and not full:
        r2 -= 0.02
    if (cell.model, cell.hookpoint) == ("small", "attn") and variant != "gated":
        r2 -= 0.05
    if variant == "sagsae_tied" and full and cell.hookpoint == "resid" and cell.lam == 0.2:
        r2 = 0.1
    dead = round(DEAD.get(variant, 0.002) * cell.width)
    metrics = metrics_of(cell, d_model, l0=l0, r2=r2, dead=dead)
    metrics["loss_recovered"] = LOSS_RECOVERED.get(variant, 0.8 + 0.03 * math.log(l0))
    metrics["collapsed"] = ["R2 below 0.2"] if r2 < 0.2 else []
    if variant == "gated":
        metrics["bipolar_fraction"] = metrics["bipolar_firing_share"] = 0.0
    elif cell.hookpoint == "attn":
        metrics["bipolar_fraction"] = 0.3
    return metrics


def make_grid(results: Path, **changes: Any) -> Study:
    """Write the metrics of every cell below ``results``."""
    study = Study.from_dict(configuration(results=str(results), **changes))
    write_metrics(study, result_of_grid)
    return study


# The main comparison alone, with two seeds ----------------------------------------------------

GAPS = {("small", "mlp_out"): 0.05, ("large", "mlp_out"): 0.04, ("large", "resid"): 0.03}
"""R2 of the candidate minus the baseline; small resid is -0.02."""


def result_of_pair(cell: Cell, d_model: int) -> dict[str, Any]:
    """The candidate wins by ``GAPS``; an eighth of Gated's latents are dead."""
    gated = cell.variant == "gated"
    l0 = (4 / cell.lam) * (1.01 if cell.seed else 1.0)
    r2 = 0.3 + 0.1 * math.log(l0 / 20)
    if not gated:
        r2 += GAPS.get((cell.model, cell.hookpoint), -0.02)
    return metrics_of(cell, d_model, l0=l0, r2=r2, dead=cell.width // 8 if gated else 1)


def make_study(results: Path) -> MadeStudy:
    """Two models, two hookpoints, two seeds."""
    grid = [
        {"variant": variant, "expansion": width, "lambdas": LAMBDAS, "seeds": [0, 1]}
        for variant, width in (("sagsae_tied", 2), ("gated", 4))
    ]
    changes = {"study": "made-up", "note": "", "hookpoints": ["mlp_out", "resid"], "grid": grid}
    comparisons = [compared(2, 4, 30, 64, 900)]
    raw = configuration(results=str(results), comparisons=comparisons, **changes)
    return made(raw, result_of_pair)


# Several recipes and two pairs of widths ------------------------------------------------------

NARROW, WIDE = (2, 4), (8, 16)
"""Widths of both sides in multiples of d_model."""
RATES = {"": 0.0007, "fast": 0.003}
"""Recipes by their learning rate; each also with b_dec at zero."""


def recipes() -> dict[str, Any]:
    """Three beside the default one: where b_dec starts, times the learning rate."""
    fast, zero = {"learning_rate": RATES["fast"]}, {"b_dec_init": "zero"}
    return {
        "fast": {"training": fast},
        "zero": {"note": "As in SAELens.", "training": zero},
        "zero-fast": {"training": fast | zero},
    }


def settings_configuration(results: Path, **changes: Any) -> dict[str, Any]:
    """Two models, two hookpoints, four recipes, two pairs of widths, of which the wide one lacks
    the fast learning rate with b_dec at the mean. Both variants share two lambdas."""
    lambdas = {"gated": LAMBDAS, "sagsae_tied": [0.05, 0.1, 0.25]}
    narrow = ["default", "fast", "zero", "zero-fast"]
    under = {NARROW: narrow, WIDE: ["default", "zero", "zero-fast"]}
    grid = [
        {"variant": variant, "expansion": width, "lambdas": lambdas[variant]}
        | {"recipes": names, "seeds": [0, 1] if pair == NARROW else [0]}
        for pair, names in under.items()
        for variant, width in zip(("sagsae_tied", "gated"), pair, strict=True)
    ]
    comparisons = [compared(half, full, 64) for half, full in (NARROW, WIDE)]
    raw = configuration(results=str(results), recipes=recipes(), comparisons=comparisons)
    raw["training"] |= {"learning_rate": RATES[""]}
    return raw | {"hookpoints": ["mlp_out", "resid"], "grid": grid} | changes


def result_of_settings(cell: Cell, d_model: int) -> dict[str, Any]:
    """With b_dec at zero many of Gated's latents are dead, and the candidate loses. Runs of Gated
    collapse at one resid."""
    wide, zero = cell.width > 4 * d_model, cell.recipe.startswith("zero")
    l0 = (5 / cell.lam) * (1 + 0.01 * cell.seed)
    r2, dead, collapsed = on_the_curve(l0), 1, []
    if cell.variant == "gated":
        dead = cell.width // (2 if wide else 4) if zero else 0
    else:
        r2 += (0.02 if wide else 0.01) + 0.001 * cell.seed
        r2 -= 0.05 * zero + 0.002 * cell.recipe.endswith("fast")
    if (cell.model, cell.hookpoint, cell.recipe, cell.lam) == ("large", "resid", "zero-fast", 0.2):
        r2, dead, collapsed = -9.0, 0, ["R2 below 0.2"]
    return metrics_of(cell, d_model, l0=l0, r2=r2, dead=dead) | {"collapsed": collapsed}


def made_settings(results: Path, **changes: Any) -> MadeStudy:
    """Write the metrics of every cell below ``results``."""
    return made(settings_configuration(results, **changes), result_of_settings)


# Several families of variants -----------------------------------------------------------------

KS = [16, 64, 128]
LIFT_OF_FAMILIES = {
    "gated": 0.0,
    "relu": -0.1,
    "topk": 0.02,
    "batchtopk": 0.04,
    "jumprelu": 0.05,
    "matryoshka_batchtopk": -0.02,
}
"""R2 of the one-sided variants above a common curve at equal L0."""
TWO_SIDES = 0.015
"""R2 of a two-sided form of half the width above its one-sided form."""


def families_config(folder: Path, **changes: Any) -> dict[str, Any]:
    """Gated, TopK and BatchTopK with their two-sided forms, of two models at two hookpoints under
    two recipes; TopK has three seeds at two of its ks in one place."""
    names = ["topk", "abstopk", "batchtopk", "absbatchtopk"]
    paper = {"extends": "matched", "variants": names, "training": {"lr_decay_fraction": 0}}
    by_recipe = {
        "matched": {"note": "All alike.", "training": {"lr_decay_fraction": 0.1}},
        "paper": {"note": "As their papers do.", **paper},
    }
    grid = [
        {"variant": name, "expansion": 4 // sides(name), "ks": KS} | {"recipes": list(by_recipe)}
        for name in names
    ]
    grid += [
        {"variant": name, "expansion": width, "lambdas": LAMBDAS, "recipes": ["matched"]}
        for name, width in (("gated", 4), ("sagsae_tied", 2))
    ]
    grid.append(
        {"variant": "topk", "expansion": 4, "ks": KS[:2], "seeds": [1, 2]}
        | {"models": ["small"], "hookpoints": ["mlp_out"], "recipes": ["matched"]}
    )
    pairs = [("sagsae_tied", "gated"), ("abstopk", "topk"), ("sagsae_tied", "topk")]
    comparisons = [compared(2, 4, 48, 140, names=names) for names in pairs]
    raw = configuration(results=str(folder), cache=str(folder / "cache"), recipes=by_recipe)
    raw |= {"study": "families", "hookpoints": ["mlp_out", "resid"]}
    return raw | {"grid": grid, "comparisons": comparisons} | changes


def result_of_families(cell: Cell, d_model: int) -> dict[str, Any]:
    """A k-sparse cell has L0 = k, another 8 / lambda; seed s is higher by 0.002 s; sizes are those
    of the width."""
    two = sides(cell.variant) == 2
    l0 = float(cell.k) if cell.k else 8 / cell.knob
    r2 = on_the_curve(l0) + LIFT_OF_FAMILIES[stem(cell.variant)] + TWO_SIDES * two
    r2 += 0.002 * cell.seed - 0.04 * (cell.recipe == "paper")
    r2 -= 0.1 * (two and (cell.model, cell.hookpoint) == ("large", "resid"))
    metrics = metrics_of(cell, d_model, l0=l0, r2=r2, dead=1 if two else cell.width // 8)
    metrics["loss_recovered"] = 0.8 + 0.02 * math.log(l0) + 0.05 * two
    kept = {name: value for name, value in asdict(cell).items() if value not in ("", None)}
    return metrics | {"cell": kept}


def made_families(folder: Path, **changes: Any) -> MadeStudy:
    """Write the metrics of every cell, and all tables."""
    study = made(families_config(folder, **changes), result_of_families)
    study.tables()
    if study.scope.claims:
        study.make("claims")
    return study


# Several layers, of which two models share one, and transcoders ---------------------------------


def made_layers(folder: Path) -> MadeStudy:
    """Write the metrics of every cell, and all tables. R2 falls with the layer; a transcoder's is
    lower."""
    sources = configuration()["models"]
    own = {"small": [1, 3, 12], "large": [3]}
    models = [
        {key: value for key, value in one.items() if key != "layer"} | {"layers": own[one["name"]]}
        for one in sources
    ]
    # Each layer has lambdas of its own, as a pilot finds them.
    grid = [
        {"variant": "sagsae_tied", "expansion": 2, "seeds": [0, 1], "hookpoints": [f"l{at}.resid"]}
        | {"lambdas": [0.1 + 0.01 * at, 0.2], "models": [one["name"]]}
        for one in models
        for at in one["layers"]
    ]
    grid.append({"variant": "gated", "expansion": 4, "lambdas": LAMBDAS})
    grid.append({"variant": "topk", "expansion": 4, "ks": KS, "hookpoints": ["mlp_in->mlp_added"]})
    changes = {"hookpoints": ["resid", "mlp_in->mlp_added"], "claims": "", "study": "layers"}
    raw = configuration(results=str(folder), models=models, grid=grid, **changes)
    study = made(raw | {"comparisons": [compared(2, 4, 64)]}, result_of_layers)
    study.tables()
    return study


def result_of_layers(cell: Cell, d_model: int) -> dict[str, Any]:
    l0 = float(cell.k) if cell.k else 8 / cell.knob
    r2 = on_the_curve(l0) - 0.01 * (cell.place.layer or 0) - 0.1 * bool(cell.place.target)
    metrics = metrics_of(cell, d_model, l0=l0 + cell.seed, r2=r2, dead=1)
    metrics["ce_sae"] += 0.01 * (cell.place.layer or 0)
    metrics["collapsed"] = ["said so"] * (
        cell.hookpoint == "l12.resid" and cell.k is None and cell.lam == 0.2
    )
    kept = {name: value for name, value in asdict(cell).items() if value not in ("", None)}
    return metrics | {"cell": kept}
