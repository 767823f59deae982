"""Words and numbers for people: labels of variants, rounding."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from pipeline.study.settings import BLANK
from sagsae.autoencoders.registry import label as variant_label

# As it is, and in whole numbers with commas.
plain, count = "{:g}".format, "{:,.0f}".format


def sweep_label(variant: str, width: int) -> str:
    return f"{variant_label(variant)}, H = {width}"


def format_number(value: float) -> str:
    """A magnitude (L0, R2, a share) at the precision a reader can use; a dash for no value."""
    if pd.isna(value):
        return BLANK
    if value == 0:
        return "0"
    size = abs(value)
    if size < 0.001:
        return f"{value:.1e}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3f}"


def signed(value: float) -> str:
    """A gap, always with its sign; of a run that diverged it may be in the hundreds."""
    if pd.isna(value):
        return BLANK
    if abs(value) >= 10:
        return f"{value:+.0f}"
    return f"{value:+.1e}" if 0 < abs(value) < 0.0005 else f"{value:+.3f}"


def share(value: float) -> str:
    """A probability."""
    return BLANK if pd.isna(value) else f"{value:.2f}"


def times(value: float) -> str:
    """A ratio such as 120x."""
    if pd.isna(value):
        return BLANK
    return f"{value:,.0f}x" if value >= 10 else f"{value:.2g}x"


def with_error(value: float, se: float, shown: Callable[[float], str] = format_number) -> str:
    """A number and its standard error, where it has one, to the digits of the number."""
    text = shown(value)
    if text == BLANK or pd.isna(se):
        return text
    if value == 0 or "e" in text:
        return f"{text} ± {format_number(se)}"
    return f"{text} ± {se:.{len(text.partition('.')[2])}f}"


def span(values: pd.Series, shown: Callable[[float], str] = signed) -> str:
    """The extremes of some numbers, or the one that all agree on."""
    low, high = shown(values.min()), shown(values.max())
    return low if low == high else f"{low} to {high}"


def matched_column(l0: float, metric: str, side: str) -> str:
    """Column of comparison.csv that holds one metric at one matched L0."""
    return f"l0_{l0:g}_{metric}_{side}"
