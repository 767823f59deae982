"""Words and numbers for people: labels of variants, rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import cycle
from typing import NamedTuple

import pandas as pd

from pipeline.study.sections import ELSEWHERE
from pipeline.study.settings import BLANK


class VariantLook(NamedTuple):
    """How people see a variant: its name, and in figures its lines, in Matplotlib's notation."""

    label: str
    colour: str
    marker: str


# By name, in the order of legends.
#
# Colours of gates are those of Okabe and Ito without their yellow, which vanishes on white; the
# others have one of Tol's muted colours per family.
LOOKS = {
    "gated": VariantLook("Gated", "#0072B2", "o"),
    "sagsae": VariantLook("SA-GSAE", "#CC79A7", "D"),
    "sagsae_sym": VariantLook("SA-GSAE symmetric", "#009E73", "^"),
    "sagsae_tied": VariantLook("SA-GSAE tied", "#D55E00", "s"),
    "sagsae_noaux": VariantLook("SA-GSAE without auxiliary loss", "#E69F00", "v"),
    "sagsae_onesided": VariantLook("SA-GSAE one-sided", "#56B4E9", "P"),
    "relu": VariantLook("ReLU", "#332288", "<"),
    "absrelu": VariantLook("AbsReLU", "#332288", ">"),
    "topk": VariantLook("TopK", "#117733", "<"),
    "abstopk": VariantLook("AbsTopK", "#117733", ">"),
    "batchtopk": VariantLook("BatchTopK", "#44AA99", "<"),
    "absbatchtopk": VariantLook("AbsBatchTopK", "#44AA99", ">"),
    "jumprelu": VariantLook("JumpReLU", "#882255", "<"),
    "absjumprelu": VariantLook("AbsJumpReLU", "#882255", ">"),
    "matryoshka_batchtopk": VariantLook("Matryoshka BatchTopK", "#999933", "<"),
    "matryoshka_absbatchtopk": VariantLook("Matryoshka AbsBatchTopK", "#999933", ">"),
}
# Colours and markers of variants that are not among them, in turn.
OTHER_COLOURS = ("#000000", "#0072B2", "#CC79A7", "#009E73", "#D55E00", "#E69F00", "#56B4E9")
OTHERS = tuple(zip(OTHER_COLOURS, "h<>*pXd", strict=True))

# Of activations with either sign, here and in the latent browser: the ends of ColorBrewer's RdBu,
# which no variant has.
POSITIVE_COLOUR, NEGATIVE_COLOUR = "#2166AC", "#B2182B"

# As it is, and in whole numbers with commas.
plain, count = "{:g}".format, "{:,.0f}".format


def variant_label(name: str) -> str:
    """The variant's name for people; of a user's own class, the class's name."""
    if name in LOOKS:
        return LOOKS[name].label
    elsewhere = ELSEWHERE.fullmatch(name)
    return f"{elsewhere['name']} (foreign)" if elsewhere else name.rpartition(":")[2]


def looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of variants by name, in the order of legends: those of ``LOOKS`` first."""
    asked, others = set(names), cycle(OTHERS)
    known = {name: (look.colour, look.marker) for name, look in LOOKS.items() if name in asked}
    return known | {name: next(others) for name in sorted(asked - set(LOOKS))}


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
