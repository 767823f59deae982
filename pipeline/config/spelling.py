"""The one spelling of names and numbers that become folders."""

from __future__ import annotations

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
