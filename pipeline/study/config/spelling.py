"""The one spelling of names and numbers that become folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAME_LENGTH = 64
"""Characters of the longest model, hookpoint or variant name: each becomes a folder."""


class CellNameError(ValueError):
    """A cell name that names nothing, or names something by another spelling."""


def lambda_tag(value: float) -> str:
    """The one spelling of a lambda in names: shortest ``%g`` form that reads back exactly.

    Raises:
        CellNameError: not positive and finite, or needs more than six significant digits.
    """
    tag = format(float(value), "g")
    if not 0 < float(value) < float("inf"):
        raise CellNameError(f"lambda {value!r} is not a positive finite number")
    if float(tag) != float(value):
        raise CellNameError(
            f"lambda {value!r} needs more than six significant digits: round it to {tag}"
        )
    return tag


def knob_tag(lam: float | None, k: int | None) -> str:
    """How a name spells what sets the sparsity of a cell: ``lam0.1``, or ``k64``.

    Raises:
        CellNameError: as `lambda_tag`.
    """
    return f"k{k}" if lam is None else f"lam{lambda_tag(lam)}"


KNOBS = ("lam", "k")
"""Columns of tables that have them; the second is absent where no cell has a k."""


def knob_of(row: Mapping[Any, Any]) -> str:
    """The same of a row of a table, for people: ``λ 0.1``, or ``k 64``."""
    lam = row["lam"]
    if lam is None or lam != lam:
        return f"k {int(row['k'])}"
    return f"λ {lambda_tag(lam)}"
