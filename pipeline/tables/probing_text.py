"""Probing and absorption in words: the tables that people read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.knob_columns import k_for_lambda
from pipeline.study.probe_runs import ALL, DENSE, NEURONS
from pipeline.text.numbers import BLANK, Grid, format_number, sweep_label, with_error
from sagsae.sweeps import Sweep

SWEEP = ["model", "hookpoint", "variant", "recipe", "width"]
CELL = [*SWEEP, "lam", "seed", "l0"]
READS = (
    "A probe sees k sides of a code, chosen on training documents, and tells a label of the text "
    "from its absence on others. Each sign of a latent is a side, so a latent with two signs has "
    "two. Labels are the first letter of a word, digits, four lists of function words and the "
    "source of the document; both classes are equally frequent, so 0.5 is chance. Below: the best "
    "k coordinates of the activation, and the whole of it. Absorption is measured on first "
    "letters: the share of a letter's direction that other sides carry than those that stand for "
    "the letter (fraction), and the share of tokens on which those are silent and one other side "
    "carries it (full); less is better. "
)
AT = (
    "Values are read off between the λ of a sweep, at L0 = {level:g}; a sweep that does not reach "
    "this L0 has no row."
)


def probing_parts(
    probing: pd.DataFrame, absorption: pd.DataFrame, spec: ComparisonSpec
) -> list[str | Grid]:
    """The page of probing.csv and absorption.csv."""
    level = spec.matched_levels[0]
    return [
        READS + AT.format(level=level),
        probing_grid(probing, absorption, spec),
        kind_grid(probing, spec),
    ]


def probing_grid(probing: pd.DataFrame, absorption: pd.DataFrame, spec: ComparisonSpec) -> Grid:
    """Accuracy at each k over all labels, and absorption, of every sweep at the first matched L0;
    a row for each baseline below those of a place."""
    ks = sorted(probing["k"].unique())
    wide = probed_cells(probing, absorption)
    shown = [f"accuracy_{k}" for k in ks]
    last = [f"latents_{ks[-1]}", "fraction", "full"] if ks else []
    rows = []
    for place, here in _places(wide, spec):
        rows += [
            (*place, label, *(_read(sweep, name, spec) for name in (*shown, *last)))
            for label, sweep in _sweeps(here, spec)
        ]
        own = _at(probing, here).drop_duplicates("k").sort_values("k")
        rows.append((*place, NEURONS, *map(format_number, own["neurons"]), *[BLANK] * len(last)))
        dense = format_number(own["dense"].iloc[0])
        rows.append((*place, DENSE, *[dense] * len(ks), *[BLANK] * len(last)))
    heads = [f"Accuracy, k = {k}" for k in ks]
    heads += [f"Latents, k = {ks[-1]}", "Absorption, fraction", "Absorption, full"] if ks else []
    return Grid(
        title=f"Sparse probing and absorption at L0 = {spec.matched_levels[0]:g}",
        columns=(*_heads(spec), "What is probed", *heads),
        rows=tuple(rows),
    )


def kind_grid(probing: pd.DataFrame, spec: ComparisonSpec) -> Grid:
    """Accuracy by kind of label, at the smallest and the largest k."""
    ks = sorted(probing["k"].unique())
    ends = list(dict.fromkeys([*ks[:1], *ks[-1:]]))
    kinds = [kind for kind in probing["kind"].unique() if kind != ALL]
    rows = []
    parts = [
        _wide(probing[probing["kind"] == kind], ["accuracy"]).rename(
            columns={f"accuracy_{k}": f"{kind}_{k}" for k in ks}
        )
        for kind in kinds
    ]
    wide = pd.DataFrame(columns=[*CELL, "collapsed"])
    if parts:
        wide = parts[0]
        for part in parts[1:]:
            wide = wide.merge(part, on=[*CELL, "collapsed"], how="outer")
    names = [f"{kind}_{k}" for kind in kinds for k in ends]
    for place, here in _places(wide, spec):
        for label, sweep in _sweeps(here, spec):
            rows.append((*place, label, *(_read(sweep, name, spec) for name in names)))
    heads = [f"{kind.capitalize()}, k = {k}" for kind in kinds for k in ends]
    return Grid(
        title=f"Accuracy by kind of label at L0 = {spec.matched_levels[0]:g}",
        columns=(*_heads(spec), "What is probed", *heads),
        rows=tuple(rows),
    )


def probed_cells(probing: pd.DataFrame, absorption: pd.DataFrame) -> pd.DataFrame:
    """A row per cell: ``accuracy_<k>`` and ``latents_<k>`` over all labels for each number of
    sides, ``fraction`` and ``full`` of absorption. The rows of one sweep make a `Sweep`."""
    wide = _wide(probing[probing["kind"] == ALL], ["accuracy", "latents"])
    return wide.merge(k_for_lambda(absorption)[[*CELL, "fraction", "full"]], on=CELL)


def _wide(table: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """A row per cell, with a column for each measure and k."""
    table = k_for_lambda(table)
    wide = table.pivot_table(index=CELL, columns="k", values=measures, sort=False, dropna=False)
    wide.columns = pd.Index(["_".join(map(str, pair)) for pair in wide.columns.to_flat_index()])
    return wide.dropna(how="all").reset_index().assign(collapsed="")


def _places(
    wide: pd.DataFrame, spec: ComparisonSpec
) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """The rows of each recipe and place, in the order of the study."""
    for recipe, places in spec.trained.items():
        own = spec.under(recipe, wide)
        for model, hookpoint in places:
            here = own[(own["model"] == model) & (own["hookpoint"] == hookpoint)]
            if len(here) and (here["recipe"] == recipe).any():
                yield (model, hookpoint, *[recipe or DEFAULT_RECIPE] * spec.several), here


def _sweeps(here: pd.DataFrame, spec: ComparisonSpec) -> Iterator[tuple[str, Sweep]]:
    """The sweeps of a place that reach the first matched L0."""
    for _, rows in here.groupby(["variant", "width"], sort=True):
        sweep = Sweep.from_rows(rows)
        reached = [point.l0.mean for point in sweep.points]
        if min(reached) <= spec.matched_levels[0] <= max(reached):
            yield sweep_label(rows["variant"].iloc[0], sweep.width), sweep


def _read(sweep: Sweep, metric: str, spec: ComparisonSpec) -> str:
    if sweep.undefined(metric):
        return BLANK
    found = sweep.estimate(metric, spec.matched_levels[0])
    return with_error(found.mean, float("nan") if found.se is None else found.se)


def _at(probing: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """The rows over all labels of the place of ``here``: baselines are the same for every cell."""
    first: Any = here.iloc[0]
    return probing[
        (probing["kind"] == ALL)
        & (probing["model"] == first["model"])
        & (probing["hookpoint"] == first["hookpoint"])
    ]


def _heads(spec: ComparisonSpec) -> tuple[str, ...]:
    return ("Model", "Hookpoint", *["Recipe"] * spec.several)
