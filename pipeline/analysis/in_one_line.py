"""One result of a table in words: what the title of a fold of the report says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from pipeline.analysis.numbers import format_number, share, signed, variant_label


@dataclass(frozen=True)
class Range:
    """From the smallest to the largest number of a column."""

    what: str
    column: str
    form: Callable[[float], str] = format_number

    def __call__(self, rows: pd.DataFrame) -> str:
        known = rows[self.column].dropna() if self.column in rows else rows.index[:0]
        if not len(known):
            return ""
        ends = dict.fromkeys((self.form(known.min()), self.form(known.max())))
        return f"{self.what} {' to '.join(ends)}"


def _compared(rows: pd.DataFrame) -> str:
    """Of the first comparison."""
    first = rows[(rows["comparison"] == 1) & rows["dominates"].notna()]
    if first.empty:
        return ""
    return f"{_of_first(first)} at {first['dominates'].sum():.0f} of {len(first)}"


def _of_first(rows: pd.DataFrame) -> str:
    names = (variant_label(rows[f"{side}_variant"].iloc[0]) for side in ("candidate", "baseline"))
    return "{} strictly dominates {}".format(*names)


def _best(rows: pd.DataFrame) -> str:
    """Which sweep is first most often, at the first L0."""
    here = rows[rows["l0"] == rows["l0"].iloc[0]]
    first = here.loc[here["rank"] == 1, "series"]
    if first.empty:
        return ""
    name, times = first.mode().iloc[0], first.value_counts().max()
    places = len(here[["recipe", "model", "hookpoint"]].drop_duplicates())
    at = f"at {times} of {places} hookpoints at L0 = {here['l0'].iloc[0]:g}"
    return f"{name} has the highest R² {at}"


def _mean_rank(rows: pd.DataFrame) -> str:
    here = rows[rows["l0"] == rows["l0"].iloc[0]].dropna(subset="mean_rank")
    if here.empty:
        return ""
    best = here.loc[here["mean_rank"].idxmin()]
    return f"best: {best['series']}, mean rank {best['mean_rank']:.1f} at L0 = {best['l0']:g}"


def _dials(rows: pd.DataFrame) -> str:
    asked = rows[rows["kind"] != "random"]
    return f"{asked['dial'].sum():.0f} of {len(asked)} directions are a dial"


def _verdicts(rows: pd.DataFrame) -> str:
    counts = rows["outcome"].value_counts()
    return ", ".join(f"{outcome}: {count}" for outcome, count in counts.items())


# Name of a table -> its result; a table that is not listed has none.
RESULTS: dict[str, Callable[[pd.DataFrame], str]] = {
    "cells": Range("R²", "r2"),
    "points": Range("R²", "r2"),
    "comparison": _compared,
    "comparison_by_source": _compared,
    "contrasts": Range("difference of R²", "r2_delta", signed),
    "sources": Range("R²", "r2"),
    "effects": Range("smallest gap of R²", "min_gap", signed),
    "main_effects": Range("mean effect", "mean", signed),
    "ranking": _best,
    "ranking_summary": _mean_rank,
    "sides": Range("R², signed less unsigned:", "r2_difference", signed),
    "sign_rates": Range("width multiplier", "rate"),
    "scaling": Range("median error of the fit", "fit_error", share),
    "predictions": Range("predicted R²", "r2"),
    "consistency": Range("mean cosine of matched latents", "assigned"),
    "poles": Range("both poles found of a share of", "both_share", share),
    "starts": Range("dead fraction", "dead"),
    "parameters": Range("share of latents that fire with both signs", "two_sided_share"),
    "dial": _dials,
    "probing": Range("accuracy", "accuracy"),
    "absorption": Range("absorption", "fraction"),
    "replaced": Range("CE loss increase, all layers replaced:", "nats_all"),
    "visible": Range("rank correlation", "correlation", signed),
    "claims": _verdicts,
    "claims_matrix": _verdicts,
}


def result(name: str, rows: pd.DataFrame, recipe: str | None = None) -> str:
    """The result of a table, under one recipe where a figure shows one; empty where there is none.

    Args:
        name: Of the table.
        rows: Its rows.
        recipe: Name of the recipe that is shown.
    """
    if recipe is not None and "recipe" in rows:
        rows = rows[rows["recipe"] == recipe]
    return RESULTS[name](rows) if name in RESULTS and len(rows) else ""
