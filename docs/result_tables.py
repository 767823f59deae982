"""Tables of the pages, made from the committed CSV files: `[table: NAME](FILE)` asks for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from docs.sign_tables import Table, consistency, data, halves, poles, rates
from pipeline.analysis import page
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.numbers import variant_label

MODELS = {"smollm2-135m": "SmolLM2", "gemma3-270m": "Gemma"}
PAIRS = [(model, hook) for model in MODELS for hook in ("mlp_out", "attn", "resid")]
TOO_LITTLE_LOSS = ("smollm2-135m", "attn")
"""Zeroing this module costs 0.11 nats, and all variants come to more than 1 there."""
PLACES = [f"{MODELS[model]} {hook}" for model, hook in PAIRS]
WIDE, NARROW = "8d vs 16d", "2d vs 4d"
TUNED = ("batchtopk", "absbatchtopk", "gated", "sagsae_tied")


def markdown(name: str, file: Path) -> str:
    """The table of that name from a CSV file, as Markdown."""
    kind, _, of = name.partition(" ")
    heads, rows = TABLES[kind](read_table(file), of)
    return page.markdown(page.Grid("", heads, rows))


def _number(value: float, places: int = 3) -> str:
    if pd.isna(value):
        return "–"
    if value == 0:
        return "0"
    rounded = f"{value:.{places}f}"
    return rounded if float(rounded) else f"{value:.5f}".rstrip("0")


def _signed(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:+.3f}" if abs(value) >= 0.0005 else f"{value:+.4f}"


BY_START = {
    ("", WIDE): "8d against 16d, from zero",
    ("mean", WIDE): "8d against 16d, from the mean",
    ("", NARROW): "2d against 4d, from zero",
    ("mean", NARROW): "2d against 4d, from the mean",
}
"""Recipe and widths -> head."""
BY_BUDGET = {
    ("short", NARROW): "from zero, 0.6 M",
    ("", NARROW): "2 M",
    ("long", NARROW): "6 M",
    ("longest", NARROW): "20 M",
    ("mean-short", NARROW): "from the mean, 0.6 M",
    ("mean", NARROW): "2 M",
    ("mean-long", NARROW): "6 M",
    ("mean-longest", NARROW): "20 M",
}


def _effects(
    table: pd.DataFrame, heads: dict[tuple[str, str], str], cell: Callable[[pd.Series], str]
) -> Table:
    """A row per pair, a column per recipe and pair of widths."""
    of = table.set_index(["recipe", "widths", "model", "hookpoint"])
    rows = []
    for pair, place in zip(PAIRS, PLACES, strict=True):
        keys = [(*setting, *pair) for setting in heads]
        rows.append([place, *(cell(of.loc[key]) if key in of.index else "–" for key in keys)])
    return ["pair", *heads.values()], [row for row in rows if set(row[1:]) != {"–"}]


def gaps(table: pd.DataFrame, _: str) -> Table:
    return _effects(table, BY_START, _gap)


def dead(table: pd.DataFrame, _: str) -> Table:
    return _effects(table, BY_START, _dead)


def budgets(table: pd.DataFrame, _: str) -> Table:
    return _effects(table, BY_BUDGET, _gap)


def _gap(row: pd.Series) -> str:
    return f"{_signed(row['min_gap'])}, {_signed(row['mean_gap'])}"


def _dead(row: pd.Series) -> str:
    if pd.isna(row["dead_candidate"]):
        return "–"
    return f"{_number(row['dead_candidate'], 4)}, {_number(row['dead_baseline'], 4)}"


def claims(table: pd.DataFrame, _: str) -> Table:
    kinds = ["holds", "does not hold", "not testable", "not measured"]
    once = table[table["same_as"].isna()]
    rows = []
    for n, (statement, own) in enumerate(once.groupby("statement", sort=False)["outcome"], start=1):
        counts = own.value_counts().reindex(kinds, fill_value=0)
        rows.append([str(n), str(statement), *map(str, counts)])
    return ["", "the paper says", *kinds], rows


def ranking(table: pd.DataFrame, recipe: str) -> Table:
    at_64 = table[(table["recipe"] == recipe) & (table["l0"] == 64)]
    base = at_64[at_64["variant"] == "gated"].set_index(["model", "hookpoint"])["tokens_per_second"]
    rows = []
    for variant, cells in at_64.groupby("variant", sort=False):
        of = cells.set_index(["model", "hookpoint"]).reindex(PAIRS)
        width = "4d" if of["sides"].iloc[0] == 1 else "2d"
        mean_rank = f"{of['rank'].mean():.1f}" if of["rank"].notna().all() else "–"
        places = [
            "–" if pd.isna(rank) else f"{_number(r2)} ({rank:.0f})"
            for r2, rank in zip(of["r2"], of["rank"], strict=True)
        ]
        loss = of["loss_recovered"].drop(TOO_LITTLE_LOSS).mean()
        means = of[["dead_fraction", "accuracy_1", "absorption"]].mean()
        speed = (of["tokens_per_second"] / base).median()
        numbers = [*map(_number, (loss, *means)), _number(speed, 2)]
        rows.append([variant_label(str(variant)), width, mean_rank, *places, *numbers])
    rows.sort(key=lambda row: (row[2] == "–", row[2].zfill(5)))
    measures = ["Loss Recovered", "dead", "probing", "absorption", "tokens/s"]
    return ["variant", "H", "mean rank", *PLACES, *measures], rows


def sides(table: pd.DataFrame, recipe: str) -> Table:
    rows = []
    of_recipe = table[table["recipe"] == recipe]
    for (l0, family), cells in of_recipe.groupby(["l0", "family"], sort=False):
        of = cells.set_index(["model", "hookpoint"])["r2_difference"].reindex(PAIRS)
        (total,) = cells[cells["model"] == ""].itertuples()
        if of.notna().sum() < 5:
            continue
        word = "undecided"
        if of.notna().all():
            word = {0: "costs", 6: "pays"}.get(int(total.positive), word)
        dead_latents = f"{_number(total.dead_candidate)}, {_number(total.dead_baseline)}"
        numbers = [*map(_signed, of), _signed(total.r2_difference)]
        count = f"{total.positive:.0f} of {total.pairs:.0f}, {word}"
        rows.append([f"{l0:.0f}", variant_label(str(family)), *numbers, count, dead_latents])
    rows.sort(key=lambda row: int(row[0]))
    return ["L0", "family", *PLACES, "mean", "above zero", "dead: two, one"], rows


def tuning(table: pd.DataFrame, _: str) -> Table:
    """R2 at L0 = 64 of each variant of study sign-tuning at both pairs: a row per recipe."""
    of = {key: _near_64(points) for key, points in table.groupby(["recipe", "variant", "model"])}
    pairs = {key[:2] for key in of}
    return _by_recipe({key: ", ".join(of[*key, model] for model in MODELS) for key in pairs})


def _near_64(points: pd.DataFrame) -> str:
    """R2 at L0 = 64; of the nearest point, with its L0, if all lie on one side by over 2 %."""
    if (points["collapsed"] != "").any():
        return "collapsed"
    points = points.sort_values("l0")
    away = np.log(points["l0"] / 64)
    if away.iloc[0] <= 0 <= away.iloc[-1]:
        return _number(np.interp(0, away, points["r2"]))
    nearest = points.loc[away.abs().idxmin()]
    beyond = f" ({nearest['l0']:.0f})" if away.abs().min() > 0.02 else ""
    return _number(nearest["r2"]) + beyond


def starts(table: pd.DataFrame, model: str) -> Table:
    """Dead among the latents that began against the mean, and along it: a row per recipe."""
    chosen = table[table["model"] == model]
    means = chosen.groupby(["recipe", "variant"])[["dead_against", "dead_along"]].mean()
    shares = means.agg(lambda row: ", ".join(_number(share) for share in row), axis=1)
    return _by_recipe(shares.to_dict())


def _by_recipe(found: dict[tuple[str, str], str]) -> Table:
    """Of what each (recipe, variant) of study sign-tuning has."""
    rows = []
    for start in ("zero", "mean"):
        for gate in ("open", "shut"):
            for rate, name in {"3e-4": "slow", "7e-4": "", "1.5e-3": "fast"}.items():
                parts = (start.removeprefix("zero"), name, gate.removeprefix("open"))
                recipe = "-".join(filter(None, parts))
                rows.append([start, rate, gate, *(found.get((recipe, one), "–") for one in TUNED)])
    return ["`b_dec` from", "learning rate", "gate", *map(variant_label, TUNED)], rows


def collapse(table: pd.DataFrame, of: str) -> Table:
    """R2 of the plain learning rates, or of four ways to train, three seeds each."""
    shown = table.assign(text=table["r2"].map(_number).where(table["r2"] > 0, "diverges"))
    if of == "rates":
        names = {"": "0.0007", "rate9em4": "0.0009", "rate1em3": "0.001"}
        names |= {"rate1p2em3": "0.0012", "rate1p35em3": "0.00135"}
        first = shown[shown["seed"] == 0].set_index(["recipe", "width"])["text"]
        widths = [1280, 2560, 5120, 10240]
        rows = [[rate, *(first[name, w] for w in widths)] for name, rate in names.items()]
        return ["learning rate", "H = 2d", "4d", "8d", "16d"], rows
    rows = []
    ways = {"": "plain", "-reset": "resets", "-small": "small thresholds", "-both": "both"}
    for name, rate in {"rate1p2em3": "0.0012", "rate1p35em3": "0.00135"}.items():
        for end, way in ways.items():
            cells = shown[shown["recipe"] == name + end].sort_values("seed").groupby("width")
            texts = cells["text"].agg(", ".join)
            lost = int((cells.get_group(5120)["r2"] < 0).sum())
            rows.append([rate, way, texts[2560], texts[5120], f"{lost} of 3"])
    return ["learning rate", "way", "4d", "8d", "8d collapses"], rows


def lambdas(table: pd.DataFrame, _: str) -> Table:
    rows = []
    chosen = table[(table["recipe"] == "matched") & (table["collapsed"] == "")]
    sweeps = dict(iter(chosen.groupby(["variant", "model", "hookpoint"])))
    for variant in ("gated", "sagsae_tied", "relu", "jumprelu"):
        for pair, place in zip(PAIRS, PLACES, strict=True):
            means = sweeps[variant, *pair].groupby("lam")["l0"].mean()
            spelled = (np.format_float_positional(lam) for lam in means.index)
            points = ", ".join(f"{lam}: {l0:.0f}" for lam, l0 in zip(spelled, means, strict=True))
            slopes = np.diff(np.log(means.to_numpy())) / np.diff(np.log(means.index.to_numpy()))
            power = f"{slopes.max():.1f} to {slopes.min():.1f}"
            rows.append([f"`{variant}`", place, points, power])
    return ["variant", "pair", "lambda: L0", "power"], rows


TABLES = {
    table.__name__: table
    for table in (
        *(gaps, dead, budgets, claims, ranking, sides, tuning, starts, collapse, lambdas),
        *(rates, data, halves, consistency, poles),
    )
}
