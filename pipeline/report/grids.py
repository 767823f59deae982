"""Tables that the report alone has."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline.config.recipes import DEFAULT_RECIPE, Recipe
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.text.numbers import BLANK, Grid, format_number, span, variant_label

NAME_COLUMNS = ("model", "hookpoint", "variant", "recipe", "width", "lam", "k", "seed")


def baseline_grid(cells: pd.DataFrame) -> Grid:
    """Cross entropies of the language model itself; cells that disagree show a range."""
    columns = ["ce_clean", "ce_mean", "ce_zero"]
    rows = []
    for (model, hookpoint), group in cells.groupby(["model", "hookpoint"], sort=False):
        gap = group["ce_zero"] - group["ce_clean"]
        values = [
            span(series, "{:.4f}".format) for series in (*(group[name] for name in columns), gap)
        ]
        noisy = "noise" if group["lr_noisy"].any() else "usable"
        tokens = span(group["ce_tokens"], "{:,}".format)
        rows.append((str(model), str(hookpoint), *values, noisy, tokens))
    heads = ("Model", "Hookpoint", "Clean", "Mean-ablated", "Zero-ablated", "Zero - clean")
    return Grid(
        title="Next-token cross entropy (nats)",
        columns=(*heads, "Loss Recovered is", "Tokens"),
        rows=tuple(rows),
    )


def recipe_grid(spec: ComparisonSpec) -> Grid:
    """The recipes that the study's cells have, and in what each differs from the default one."""
    usual, rows = spec.levels.get("", {}), []
    for name in spec.trained:
        recipe, levels = spec.recipes.get(name, Recipe()), spec.levels.get(name, {})
        concerned = ", ".join(map(variant_label, recipe.variants or [])) or "all"
        shown = levels if not name else {k: v for k, v in levels.items() if v != usual.get(k)}
        differs = ", ".join(f"{factor} {level}" for factor, level in shown.items())
        rows.append((name or DEFAULT_RECIPE, concerned, differs or BLANK, recipe.note))
    columns = ("Recipe", "Variants", "Settings that differ from the default one", "Note")
    return Grid(title="Recipes", columns=columns, rows=tuple(rows))


def collapsed_grid(cells: pd.DataFrame) -> Grid:
    """Every collapsed cell and why."""
    fallen = cells[cells["collapsed"] != ""]
    names = [name for name in NAME_COLUMNS if name in cells]
    shown = dict.fromkeys(names, _name) | {"l0": format_number, "r2": format_number}
    shown |= {"k": _whole} if "k" in names else {}
    rows = fallen.transform(shown).assign(why=fallen["collapsed"]).itertuples(index=False)
    columns = (*map(str.capitalize, names), "L0", "R2", "Why")
    return Grid(title="Collapsed cells", columns=columns, rows=tuple(rows))


SHOWN = {
    **{name: name.capitalize() for name in ("model", "hookpoint", "variant", "recipe")},
    "width": "H",
    "lam": "λ",
    "k": "k",
    "seed": "Seed",
    "l0": "L0",
    "r2": "R2",
    "dead_fraction": "Dead",
    "loss_recovered": "Loss Recovered",
    "bipolar_fraction": "Two-sided",
    "collapsed": "Collapsed",
}
"""The columns of cells.csv that are read most -> their names in words."""


def cell_grid(cells: pd.DataFrame) -> Grid:
    """The most read columns of cells.csv, rounded."""
    kept = cells[[name for name in SHOWN if name in cells]]
    rows = (
        tuple(_shown(value) for value in row) for row in kept.itertuples(index=False, name=None)
    )
    return Grid(
        title="Every cell", columns=tuple(SHOWN[str(name)] for name in kept), rows=tuple(rows)
    )


def _name(value: Any) -> str:
    """As `str`; a dash for the lambda of a cell with a k."""
    return BLANK if pd.isna(value) else str(value)


def _whole(value: float) -> str:
    return BLANK if pd.isna(value) else f"{value:.0f}"


def _shown(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def provenance(cells: pd.DataFrame, spec: ComparisonSpec) -> list[tuple[str, str]]:
    """What the numbers were made with and from."""
    hours = cells["training_seconds"].sum() / 3600
    facts = [
        ("Study", spec.study or "unnamed"),
        ("Cells", str(len(cells))),
        ("Seeds", _listed(cells["seed"])),
        ("Variants", ", ".join(variant_label(name) for name in cells["variant"].unique())),
        *[
            (words, _listed(cells[name].dropna(), form))
            for name, words, form in (("lam", "λ", "{}"), ("k", "k", "{:.0f}"))
            if name in cells and cells[name].notna().any()
        ],
        ("Training tokens a cell", _listed(cells["training_tokens"], "{:,}")),
        ("Optimiser steps a cell", _listed(cells["training_steps"], "{:,}")),
        ("Evaluation tokens", _listed(cells["eval_tokens"], "{:,}")),
        ("Training time, all cells", f"{hours:.2f} h"),
        ("Devices", _listed(cells["training_device"])),
        ("Matrix products", _listed(cells["training_matmul_dtype"])),
    ]
    for model, group in cells.groupby("model", sort=False):
        facts.append((f"Activation store, {model}", _listed(group["made_from_store"])))
    return facts


def _listed(values: pd.Series, form: str = "{}") -> str:
    return ", ".join(form.format(value) for value in sorted(values.unique()))
