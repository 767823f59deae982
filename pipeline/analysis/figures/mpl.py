"""Matplotlib, whose modules are imported at their first use: ``mpl.lines.Line2D``.

A plan asks every module of figures what there is to draw, and need not wait for Matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib import artist, axes, axis, figure, lines, patches, ticker

    __all__ = ["artist", "axes", "axis", "figure", "lines", "patches", "ticker"]


def __getattr__(name: str) -> Any:
    return import_module(f"matplotlib.{name}")
