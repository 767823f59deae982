"""Steering in words: the tables that people read."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from pipeline.config.recipes import DEFAULT_RECIPE
from pipeline.study.dial_runs import LATENT, PAIR, RANDOM
from pipeline.text.numbers import BLANK, Grid, format_number, signed, times, variant_label
from sagsae.evaluation.dial_scores import SYMMETRY, TIMES_RANDOM

ALONG = {LATENT: "{}, one latent", PAIR: "{}, opposite pair", RANDOM: "random direction"}
"""Kind of direction -> its name, with the place of the variant in it."""
READS = (
    "α = 1 is the root mean square distance of the held-out activations from their mean. The "
    "effect is the change of the logit difference between the tokens that positive and those that "
    "negative α promote most, which were chosen on other contexts. A direction is a dial if the "
    f"effect rises at every step, the weaker arm reaches at least {SYMMETRY:g} times as far as the "
    f"stronger, and the gain per α is at least {TIMES_RANDOM:g} times that of the median random "
    "direction."
)
GROUP = ["recipe", "model", "hookpoint", "kind", "variant", "width"]
"""Columns that are equal for directions of one kind and sweep."""
SHOWN_TOKENS = 3
"""Of the tokens that an arm promotes, how many are shown; the CSV has all."""


def dial_parts(table: pd.DataFrame, several: bool) -> list[str | Grid]:
    """The page of dial.csv. ``several``: whether the study has several recipes."""
    return [READS, dial_grid(table, several), direction_grid(table, several)]


def dial_grid(table: pd.DataFrame, several: bool) -> Grid:
    """Medians over the directions of each kind and sweep, rows of a place together. ``several``
    as in `dial_parts`."""
    rows = []
    for _, here in _once(table).groupby(GROUP, sort=False, dropna=False):
        middle = here[["symmetry", "gain", "times_random", "kl_minus", "kl_plus"]].median()
        symmetry, gain, over, *divergences = middle
        rows.append(
            (
                *_place(here.iloc[0], several),
                f"{int(here['dial'].sum())} of {len(here)}",
                f"{int((here['monotone'] == 1).sum())} of {len(here)}",
                *(format_number(symmetry), signed(gain), times(over)),
                *map(format_number, divergences),
            )
        )
    size = f"{table['size'].max():g}"
    heads = ("Dials", "Rise at every step", "Weaker arm / stronger", "Gain per α", "Over random")
    return Grid(
        title="Signed latents as dials, medians",
        columns=(*_heads(several), *heads, f"KL at α = -{size}", f"KL at α = {size}"),
        rows=tuple(rows),
    )


def direction_grid(table: pd.DataFrame, several: bool) -> Grid:
    """Every latent and every pair. ``several`` as in `dial_parts`."""
    rows = []
    for row in _once(table[table["kind"] != RANDOM]).to_dict("records"):
        rows.append(
            (
                *_place(row, several),
                *(str(row["seed"]), _latents(row), _either(row, "own_size", format_number)),
                f"{row['monotone']:.0%}",
                *(_either(row, "effect", signed), format_number(row["symmetry"])),
                *(times(row["times_random"]), "yes" if row["dial"] else "no"),
                *(_tokens(row[f"promoted_{arm}"]) for arm in ("plus", "minus")),
            )
        )
    heads = (
        *("Seed", "Latents", "Own size -, +", "Steps up", "Effect -, +", "Weaker arm / stronger"),
        *("Over random", "Dial", "α > 0 promotes", "α < 0 promotes"),
    )
    return Grid(title="Every latent and pair", columns=(*_heads(several), *heads), rows=tuple(rows))


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """Without what several comparisons of a place share: random directions, or a side."""
    return table.drop_duplicates([*GROUP, "l0", "seed", "rank"])


def _heads(several: bool) -> tuple[str, ...]:
    return ("Model", "Hookpoint", *["Recipe"] * several, "Along")


def _place(row: Any, several: bool) -> tuple[str, ...]:
    along = ALONG[row["kind"]].format(variant_label(row["variant"]) if row["variant"] else "")
    recipe = [row["recipe"] or DEFAULT_RECIPE] * several
    return (row["model"], row["hookpoint"], *recipe, along)


def _latents(row: Any) -> str:
    numbers = f"{row['latent_plus']:.0f}"
    if row["kind"] == PAIR:
        numbers += f", {row['latent_minus']:.0f} (cosine {signed(row['cosine'])})"
    return numbers


def _either(row: Any, name: str, shown: Any) -> str:
    return ", ".join(shown(row[f"{name}_{arm}"]) for arm in ("minus", "plus"))


def _tokens(text: str) -> str:
    """The first ones of a JSON list, in the letters of ASCII."""
    return " ".join(map(json.dumps, json.loads(text)[:SHOWN_TOKENS])) or BLANK
