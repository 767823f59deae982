"""Tables of study sign, for `docs/result_tables.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

Table = tuple[list[str], list[list[str]]]
"""Its heads, and its rows."""
MODELS = {"smollm2": "SmolLM2", "gemma3": "Gemma"}
D_MODEL = {"smollm2": 576, "gemma3": 640}
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
    "two_sided_share": "two-sided",
    "both_share": "both poles",
    "one_share": "one",
    "neither_share": "neither",
    "one_sided_opposite": "opposite",
    "one_sided_alike": "alike",
}
"""Column of poles.csv -> its head."""


def rates(table: pd.DataFrame, family: str) -> Table:
    """By R2: a row per pair, a column per two-sided width."""
    rows = _by_r2(table, family)
    rows = rows[rows["recipe"] == "tuned"]
    return _wide(rows, rows.apply(_rate, axis=1), WIDTHS)


def data(table: pd.DataFrame, family: str) -> Table:
    """The same of the pairs that have the axis of data: a row per pair and recipe of it."""
    rows = _by_r2(table, family)
    rows = rows[rows["recipe"].isin(DATA)]
    several = rows.groupby("pair")["recipe"].transform("nunique") > 1
    rows = _by_data(rows[several]).sort_values("pair", kind="stable")
    rows["pair"] += ", " + rows["recipe"].map(DATA)
    heads, lines = _wide(rows, rows.apply(_rate, axis=1), WIDTHS)
    return ["pair, tokens", *heads[1:]], lines


def halves(table: pd.DataFrame, family: str) -> Table:
    """R2 of two sides at H minus that of one at 2H: a row per pair."""
    asked = table["family"].eq(family) & table["recipe"].eq("tuned")
    rows = _named(table[asked & table["pairs"].isna()])
    gaps = rows.apply(_with_interval, axis=1, args=("r2_difference", "{:+.3f}"))
    return _wide(rows, gaps, {m: f"{name} against {2 * m}d" for m, name in WIDTHS.items()})


def consistency(table: pd.DataFrame, of: str) -> Table:
    """The assigned cosine of two sides at H and of one at 2H: a row per pair."""
    two, one = of.split()
    rows = _named(table[table["recipe"] == "tuned"])
    means = rows.groupby(["variant", "pair", "times_d"], sort=False)["assigned"].mean()
    found = means[two].reset_index()
    ones = (means[one].get((row.pair, 2 * row.times_d)) for row in found.itertuples())
    texts = [f"{a:.3f}, {b:.3f}" for a, b in zip(found["assigned"], ones, strict=True)]
    heads = {m: f"{name}, {2 * m}d" for m, name in WIDTHS.items()}
    return _wide(found, pd.Series(texts, found.index), heads)


def poles(table: pd.DataFrame, variant: str) -> Table:
    """Of two sides of 2d and one of 4d, means over cells: a row per recipe and pair."""
    rows, lines = _named(table[table["variant"] == variant]), []
    rows = _by_data(rows[rows["times_d"] == 2]).replace({"recipe": DATA})
    for (recipe, pair), cells in rows.groupby(["recipe", "pair"], sort=False):
        means = cells[list(OUTCOMES)].mean()
        texts = (f"{x:.3f}" if name.endswith("share") else f"{x:.0f}" for name, x in means.items())
        lines.append([str(recipe), str(pair), str(len(cells)), *texts])
    return ["tokens, or null", "pair", "cells", *OUTCOMES.values()], lines


def _by_r2(table: pd.DataFrame, family: str) -> pd.DataFrame:
    """The rates of a family by R2."""
    return _named(table[(table["family"] == family) & (table["measure"] == "r2")])


def _by_data(rows: pd.DataFrame) -> pd.DataFrame:
    """In the order of DATA, and then those of nulls."""
    order = {recipe: place for place, recipe in enumerate(DATA)}
    return rows.sort_values("recipe", key=lambda names: names.map(order), kind="stable")


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """With the names of pairs, and widths over d."""
    models = rows["model"].str.split("-").str[0]
    return rows.assign(
        pair=models.map(MODELS) + " " + rows["hookpoint"],
        times_d=(rows["width"] / models.map(D_MODEL)).astype(int),
    )


def _wide(rows: pd.DataFrame, texts: pd.Series, columns: Mapping[Any, str]) -> Table:
    """A row per pair, a column per two-sided width; a dash where there is no row."""
    wide = rows.assign(text=texts).set_index(["pair", "times_d"])["text"].unstack(sort=False)
    wide = wide.reindex(columns=list(columns)).fillna("–")
    return ["pair", *columns.values()], wide.reset_index().to_numpy().tolist()


def _rate(row: pd.Series) -> str:
    """The rate and its interval, or the bound."""
    if row["bound"]:
        return f"{row['bound']} {row['rate']:.3g}"
    return _with_interval(row, "rate", "{:.2f}")


def _with_interval(row: pd.Series, name: str, form: str) -> str:
    """The value, and its 95 % interval; an end beyond the trained widths is open."""
    ends = [row[f"{name}_{end}"] for end in ("low", "high")]
    low, high = ("" if pd.isna(end) else form.format(end) for end in ends)
    interval = (
        f"{low} to {high}" if low and high else f"{low} or more" if low else f"{high} or less"
    )
    return form.format(row[name]) + (f" ({interval})" if low or high else "")
