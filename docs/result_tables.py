"""Tables of results: from the committed CSV files to texts. ``docs.tables`` puts them into pages.

A function takes the rows of a CSV file to texts, which are shown as the pages of tables are, by
`pipeline.analysis.page`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis import page
from pipeline.analysis.columns import Column
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.numbers import variant_label

MODELS = {"smollm2-135m": "SmolLM2", "gemma3-270m": "Gemma"}
D_MODEL = {"SmolLM2": 576, "Gemma": 640}
PLACES = [f"{model} {hook}" for model in D_MODEL for hook in ("mlp_out", "attn", "resid")]
TOO_LITTLE_LOSS = "SmolLM2 attn"
"""Zeroing this module costs 0.11 nats, and all variants come to more than 1 there."""
WIDE, NARROW = "8d vs 16d", "2d vs 4d"
GATES = {"open": "active", "shut": "inactive"}
"""How gates are initialised -> its name."""
TUNED = ("batchtopk", "absbatchtopk", "gated", "sagsae_tied")
BLANK = "–"
BY_START = {
    ("", WIDE): "8d against 16d, from zero",
    ("mean", WIDE): "8d against 16d, from the mean",
    ("", NARROW): "2d against 4d, from zero",
    ("mean", NARROW): "2d against 4d, from the mean",
}
"""Recipe and widths -> heading."""
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
WIDTHS = {1: "H = d", 2: "2d", 4: "4d"}
"""Two-sided width over d -> its name."""
DATA = {
    "once-05m": "0.5 M, once",
    "thrice-05m": "0.5 M, three times",
    "once-15m": "1.5 M, once",
    "thrice-15m": "1.5 M, three times",
    "tuned": "4.5 M, once",
    "thrice-45m": "4.5 M, three times",
}
"""Recipe -> its unique tokens, and how often each was seen."""
OUTCOMES = {
    "two_sided_share": "fire with both signs",
    "both_share": "both poles",
    "one_share": "one pole",
    "neither_share": "neither",
    "one_sided_opposite": "unsigned, opposite",
    "one_sided_alike": "unsigned, alike",
}
"""Column of poles.csv -> its heading."""
CELLS_OF_PLACES = {
    "mlp_in-mlp_added": "transcoder",
    "mlp_in-mlp_added@skip": "transcoder, skip",
    "mlp_added": "autoencoder",
}
"""Hookpoint and recipe of study places -> what is trained there."""
Shown = tuple[pd.DataFrame, Mapping[Any, str]]
"""A table of texts, and the heading of each column."""


def markdown(table: Callable[..., Shown], asked: str, file: Path) -> str:
    """A table from a CSV file as Markdown; what is asked for may be nothing."""
    texts, headings = table(_named(read_table(file)), *filter(None, [asked]))
    columns = [Column(str(column), heading) for column, heading in headings.items()]
    return page.markdown(page.grid(texts.rename(columns=str), columns, ""))


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """With the name of each pair, and widths over d, where the rows have them."""
    if {"model", "hookpoint"} <= set(rows):
        models = rows["model"].map(_model)
        rows = rows.assign(pair=models + " " + rows["hookpoint"])
        if "width" in rows:
            rows = rows.assign(times_d=rows["width"] / models.map(D_MODEL))
    return rows


def _model(name: str) -> str:
    """Such as Gemma, also of a null such as gemma3-gauss."""
    families = {model.partition("-")[0]: shown for model, shown in MODELS.items()}
    return families.get(name.partition("-")[0], name)


def pivoted(texts: pd.Series, rows: Mapping[str, str], columns: Mapping[Any, str]) -> Shown:
    """A column for each key of the last level of the index, a dash where there is no text."""
    wide = texts.unstack(sort=False).reindex(columns=list(columns)).dropna(how="all")
    return wide.fillna(BLANK).reset_index(), {**rows, **columns}


def _listed(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> Shown:
    return pd.DataFrame(rows, columns=list(headings)), {name: name for name in headings}


def _number(value: float, places: int = 3) -> str:
    if pd.isna(value):
        return BLANK
    if value == 0:
        return "0"
    rounded = f"{value:.{places}f}"
    return rounded if float(rounded) else f"{value:.5f}".rstrip("0")


def _signed(value: float) -> str:
    return BLANK if pd.isna(value) else f"{value:+.3f}" if abs(value) >= 0.0005 else f"{value:+.4f}"


def _effects(
    headings: Mapping[tuple[str, str], str], text: Callable[[pd.Series], str], rows: pd.DataFrame
) -> Shown:
    """A row per pair, a column per recipe and pair of widths."""
    at = pd.MultiIndex.from_frame(rows[["recipe", "widths"]])
    chosen = rows.assign(setting=at.to_flat_index())[at.isin(list(headings))]
    texts = chosen.set_index(["pair", "setting"]).apply(text, axis=1)
    wide, heads = pivoted(texts, {"pair": "hookpoint"}, headings)
    return wide.set_index("pair").reindex(PLACES).dropna(how="all").reset_index(), heads


def _gap(row: pd.Series) -> str:
    return f"{_signed(row['min_gap'])}, {_signed(row['mean_gap'])}"


def _dead(row: pd.Series) -> str:
    if pd.isna(row["dead_candidate"]):
        return BLANK
    return f"{_number(row['dead_candidate'], 4)}, {_number(row['dead_baseline'], 4)}"


def claims(rows: pd.DataFrame) -> Shown:
    kinds = ["holds", "does not hold", "not testable", "not measured"]
    once = rows[rows["same_as"].isna()]
    counts = pd.crosstab(once["statement"], once["outcome"])
    listed = counts.reindex(once["statement"].unique(), columns=kinds, fill_value=0).itertuples()
    texts = [[str(n), *map(str, line)] for n, line in enumerate(listed, start=1)]
    return _listed(texts, ["", "the paper says", *kinds])


def ranking(rows: pd.DataFrame, recipe: str) -> Shown:
    at_64 = rows[(rows["recipe"] == recipe) & (rows["l0"] == 64)]
    base = at_64[at_64["variant"] == "gated"].set_index("pair")["tokens_per_second"]
    lines = []
    for variant, sweep in at_64.groupby("variant", sort=False):
        by_pair = sweep.set_index("pair").reindex(PLACES)
        ranks = by_pair["rank"]
        places = [
            BLANK if pd.isna(rank) else f"{_number(r2)} ({rank:.0f})"
            for r2, rank in zip(by_pair["r2"], ranks, strict=True)
        ]
        loss = by_pair["loss_recovered"].drop(TOO_LITTLE_LOSS).mean()
        means = by_pair[["dead_fraction", "accuracy_1", "absorption"]].mean()
        speed = (by_pair["tokens_per_second"] / base).median()
        width = "4d" if sweep["sides"].iloc[0] == 1 else "2d"
        mean_rank = f"{ranks.mean():.1f}" if ranks.notna().all() else BLANK
        line = [variant_label(str(variant)), width, mean_rank, *places]
        lines.append([*line, *map(_number, (loss, *means)), _number(speed, 2)])
    lines.sort(key=lambda line: (line[2] == BLANK, line[2].zfill(5)))
    measures = ["Loss Recovered", "dead", "probing", "absorption", "tokens/s"]
    return _listed(lines, ["variant", "H", "mean rank", *PLACES, *measures])


def sides(rows: pd.DataFrame, recipe: str) -> Shown:
    lines = []
    by_family = rows[rows["recipe"] == recipe].groupby(["l0", "family"], sort=False)
    for (l0, family), pairs in by_family:
        differences = pairs.set_index("pair")["r2_difference"].reindex(PLACES)
        (total,) = pairs[pairs["model"] == ""].itertuples()
        if differences.notna().sum() < 5:
            continue
        word = "undecided"
        if differences.notna().all():
            word = {0: "costs", 6: "pays"}.get(int(total.positive), word)
        dead = f"{_number(total.dead_candidate)}, {_number(total.dead_baseline)}"
        numbers = [*map(_signed, differences), _signed(total.r2_difference)]
        count = f"{total.positive:.0f} of {total.pairs:.0f}, {word}"
        lines.append([f"{l0:.0f}", variant_label(str(family)), *numbers, count, dead])
    lines.sort(key=lambda line: int(line[0]))
    return _listed(lines, ["L0", "family", *PLACES, "mean", "above zero", "dead: signed, unsigned"])


def tuning(rows: pd.DataFrame) -> Shown:
    """R2 at L0 = 64 of each variant of study sign-tuning at both pairs: a row per recipe."""
    texts: dict[tuple[str, str], list[str]] = {}
    for model in MODELS:
        for key, points in rows[rows["model"] == model].groupby(["recipe", "variant"]):
            texts.setdefault(key, []).append(_near_64(points))
    return _by_recipe({key: ", ".join(pair) for key, pair in texts.items()})


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


def starts(rows: pd.DataFrame, model: str) -> Shown:
    """Dead among the latents that began against the mean, and along it: a row per recipe."""
    chosen = rows[rows["model"] == model]
    means = chosen.groupby(["recipe", "variant"])[["dead_against", "dead_along"]].mean()
    shares = means.agg(lambda row: ", ".join(_number(share) for share in row), axis=1)
    return _by_recipe(shares.to_dict())


def _by_recipe(texts: Mapping[tuple[str, str], str]) -> Shown:
    """A row per recipe of study sign-tuning, a column per variant."""
    lines = []
    for start in ("zero", "mean"):
        for gate in ("open", "shut"):
            for rate, name in {"3e-4": "slow", "7e-4": "", "1.5e-3": "fast"}.items():
                parts = (start.removeprefix("zero"), name, gate.removeprefix("open"))
                recipe = "-".join(filter(None, parts))
                found = (texts.get((recipe, variant), BLANK) for variant in TUNED)
                lines.append([start, rate, GATES[gate], *found])
    return _listed(lines, ["`b_dec` from", "learning rate", "gates", *map(variant_label, TUNED)])


def collapse(rows: pd.DataFrame, asked: str) -> Shown:
    """R2 of the plain learning rates, or of four ways to train, three seeds each."""
    texts = rows.assign(text=rows["r2"].map(_number).where(rows["r2"] > 0, "diverges"))
    highest = {"rate1p2em3": "0.0012", "rate1p35em3": "0.00135"}
    if asked == "rates":
        names = {"": "0.0007", "rate9em4": "0.0009", "rate1em3": "0.001"} | highest
        first = texts[texts["seed"] == 0].set_index(["recipe", "width"])["text"]
        widths = [1280, 2560, 5120, 10240]
        lines = [[rate, *(first[name, w] for w in widths)] for name, rate in names.items()]
        return _listed(lines, ["learning rate", "H = 2d", "4d", "8d", "16d"])
    lines = []
    ways = {"": "plain", "-reset": "resets", "-small": "small thresholds", "-both": "both"}
    for name, rate in highest.items():
        for end, way in ways.items():
            cells = texts[texts["recipe"] == name + end].sort_values("seed").groupby("width")
            seeds = cells["text"].agg(", ".join)
            lost = int((cells.get_group(5120)["r2"] < 0).sum())
            lines.append([rate, way, seeds[2560], seeds[5120], f"{lost} of 3"])
    return _listed(lines, ["learning rate", "way", "4d", "8d", "8d collapses"])


def lambdas(rows: pd.DataFrame) -> Shown:
    lines = []
    chosen = rows[(rows["recipe"] == "matched") & (rows["collapsed"] == "")]
    sweeps = dict(iter(chosen.groupby(["variant", "pair"])))
    for variant in ("gated", "sagsae_tied", "relu", "jumprelu"):
        for place in PLACES:
            means = sweeps[variant, place].groupby("lam")["l0"].mean()
            spelled = (np.format_float_positional(lam) for lam in means.index)
            points = ", ".join(f"{lam}: {l0:.0f}" for lam, l0 in zip(spelled, means, strict=True))
            slopes = np.diff(np.log(means.to_numpy())) / np.diff(np.log(means.index.to_numpy()))
            power = f"{slopes.max():.1f} to {slopes.min():.1f}"
            lines.append([f"`{variant}`", place, points, power])
    return _listed(lines, ["variant", "hookpoint", "λ: L0", "power"])


def laws(rows: pd.DataFrame) -> Shown:
    """Errors of the law and of its rivals, in percent: a row per hookpoint and variant."""
    lines = []
    for row in rows.itertuples():
        place = [f"{row.pair}", variant_label(str(row.variant)), _percent(row.fit_error)]
        for kind in ("widest", "longest"):
            found = [getattr(row, f"{kind}_{way}") for way in ("error", "flat", "step")]
            place.append(" / ".join(map(_percent, found)) if pd.notna(found[0]) else BLANK)
        lines.append(place)
    heads = ["hookpoint", "variant", "median error of the fit"]
    return _listed(lines, [*heads, "widest: law / flat / step", "longest: law / flat / step"])


def _percent(share: float) -> str:
    return BLANK if pd.isna(share) else f"{100 * share:.1f} %"


def rates(rows: pd.DataFrame, family: str) -> Shown:
    """By R2: a row per pair, a column per two-sided width."""
    rows = rows[
        (rows["family"] == family) & (rows["measure"] == "r2") & (rows["recipe"] == "tuned")
    ]
    texts = rows.set_index(["pair", "times_d"]).apply(rate, axis=1)
    return pivoted(texts, {"pair": "hookpoint"}, WIDTHS)


def data(rows: pd.DataFrame, family: str) -> Shown:
    """By R2 at the pairs that have the axis of data: a row per pair and recipe of that axis."""
    rows = rows[(rows["family"] == family) & (rows["measure"] == "r2") & rows["recipe"].isin(DATA)]
    several = rows.groupby("pair")["recipe"].transform("nunique") > 1
    rows = _by_data(rows[several]).sort_values("pair", kind="stable")
    rows["pair"] += ", " + rows["recipe"].map(DATA)
    texts = rows.set_index(["pair", "times_d"]).apply(rate, axis=1)
    return pivoted(texts, {"pair": "hookpoint, tokens"}, WIDTHS)


def halves(rows: pd.DataFrame, family: str) -> Shown:
    """R2 of two sides at H minus that of one at 2H: a row per pair."""
    asked = rows["family"].eq(family) & rows["recipe"].eq("tuned") & rows["pairs"].isna()
    gap = partial(with_interval, name="r2_difference", form="{:+.3f}")
    texts = rows[asked].set_index(["pair", "times_d"]).apply(gap, axis=1)
    headings = {times: f"{name} against {2 * times}d" for times, name in WIDTHS.items()}
    return pivoted(texts, {"pair": "hookpoint"}, headings)


def consistency(rows: pd.DataFrame, variants: str) -> Shown:
    """The assigned cosine of two sides at H and of one at 2H: a row per pair."""
    tuned = rows[rows["recipe"] == "tuned"]
    means = tuned.groupby(["variant", "pair", "times_d"], sort=False)["assigned"].mean()
    two, one = (means[variant] for variant in variants.split())
    texts = {
        (pair, times): f"{cosine:.3f}, {one.get((pair, 2 * times)):.3f}"
        for (pair, times), cosine in two.items()
    }
    series = pd.Series(texts).rename_axis(["pair", "times_d"])
    headings = {times: f"{name}, {2 * times}d" for times, name in WIDTHS.items()}
    return pivoted(series, {"pair": "hookpoint"}, headings)


def transcoders(rows: pd.DataFrame, name: str) -> Shown:
    """At k = 32, BatchTopK of 2d and two sides of d: a row per model, and layer if any."""
    rows = rows[rows["k"] == 32]
    layers = rows["pair"].str.extract(r"^(\w+) (?:l(\d+)\.)?(.+)$")
    rows = rows.assign(
        nats=rows["ce_sae"] - rows["ce_clean"] if name == "nats" else 0,
        place=layers[0] + (", layer " + layers[1]).fillna(""),
        kind=(layers[2] + ("@" + rows["recipe"]).str.removesuffix("@")).map(CELLS_OF_PLACES),
    )
    means = rows.groupby(["place", "kind", "variant"], sort=False)[name].mean().unstack(sort=False)
    texts = means["batchtopk"].map(_number) + ", " + means["absbatchtopk"].map(_number)
    heads = {kind: kind for kind in CELLS_OF_PLACES.values()}
    wide, headings = pivoted(texts, {"place": "model"}, heads)
    numbered = wide["place"].str.replace(r" (\d)$", r" 0\1", regex=True)
    wide = wide.loc[numbered.sort_values().index]
    if name == "r2":
        linear = rows.groupby("place")["linear_r2"].mean().map(_number)
        return wide.assign(linear=wide["place"].map(linear)), headings | {"linear": "linear map"}
    return wide, headings


def poles(rows: pd.DataFrame, variant: str) -> Shown:
    """Two sides of 2d and one of 4d, means over cells: a row per recipe and pair."""
    chosen = _by_data(rows[(rows["variant"] == variant) & (rows["times_d"] == 2)])
    lines = []
    for (recipe, pair), cells in chosen.groupby(["recipe", "pair"], sort=False):
        means = cells[list(OUTCOMES)].mean()
        texts = (f"{x:.3f}" if name.endswith("share") else f"{x:.0f}" for name, x in means.items())
        lines.append([DATA.get(recipe, recipe), pair, str(len(cells)), *texts])
    return _listed(lines, ["tokens, or null", "hookpoint", "SAEs", *OUTCOMES.values()])


def _by_data(rows: pd.DataFrame) -> pd.DataFrame:
    """In the order of DATA, and then those of nulls."""
    order = {recipe: place for place, recipe in enumerate(DATA)}
    return rows.sort_values("recipe", key=lambda names: names.map(order), kind="stable")


def rate(row: pd.Series) -> str:
    """The rate and its interval, or the bound."""
    if row["bound"]:
        return f"{row['bound']} {row['rate']:.3g}"
    return with_interval(row, "rate", "{:.2f}")


def with_interval(row: pd.Series, name: str, form: str) -> str:
    """The value, and its 95 % interval; an end beyond the trained widths is open."""
    ends = [row.get(f"{name}_{end}", row.get(end)) for end in ("low", "high")]
    low, high = ("" if pd.isna(end) else form.format(end) for end in ends)
    interval = (
        f"{low} to {high}" if low and high else f"{low} or more" if low else f"{high} or less"
    )
    return form.format(row[name]) + (f" ({interval})" if low or high else "")


TABLES: dict[str, Callable[..., Shown]] = {
    "gaps": partial(_effects, BY_START, _gap),
    "dead": partial(_effects, BY_START, _dead),
    "budgets": partial(_effects, BY_BUDGET, _gap),
}


def compared(rows: pd.DataFrame) -> Shown:
    """Each comparison of sagsae_tied over all pairs: how many it dominates, and gaps of R2."""
    lines = []
    chosen = rows[rows["candidate_variant"] == "sagsae_tied"]
    for _, pairs in chosen.groupby("comparison"):
        first = pairs.iloc[0]
        width = first["baseline_width"] / D_MODEL[_model(first["model"])]
        seeds = " and ".join(f"{first[f'{side}_seeds']:.0f}" for side in ("candidate", "baseline"))
        ends = (
            f"{_signed(pairs[gap].min())} to {_signed(pairs[gap].max())}"
            for gap in ("min_gap", "mean_gap")
        )
        dominated = f"{pairs['dominates'].sum():.0f} of {len(pairs)}"
        baseline = f"{variant_label(first['baseline_variant'])}, H = {width:g}d"
        lines.append([baseline, seeds, dominated, *ends])
    heads = [
        "SA-GSAE tied of 2d against",
        "seeds",
        "hookpoints dominated",
        "smallest gap",
        "mean gap",
    ]
    return _listed(lines, heads)


LISTED = (claims, ranking, sides, tuning, starts, collapse, lambdas)
LISTED += (laws, rates, data, halves, consistency, poles, compared, transcoders)
TABLES |= {table.__name__: table for table in LISTED}
