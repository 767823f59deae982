"""What tables, figures, claims and report cover: the specification that they are given."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict

from pipeline.config.study_config import Comparison
from pipeline.jobs.json_files import json_argument

SWEPT = {"r2": "R2", "dead_fraction": "Dead fraction", "loss_recovered": "Loss Recovered"}
"""What is compared along a sweep, at equal L0 or equal lambda -> its name in words."""


DEFAULT_LEVEL = 64.0
"""L0 at which sweeps are read off where a study compares nothing."""


class ComparisonSpec(BaseModel):
    """What the tables, the figures and the report cover."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    cells: list[str]
    """Paths of the grid's cells."""
    comparisons: list[Comparison]
    models: dict[str, int]
    """Model name -> d_model, in the order of the configuration."""
    hookpoints: list[str]
    study: str = ""
    """Name of the study; only the report needs it."""
    note: str = ""
    """What readers must know before they read a number; claims and report need it."""
    sources: list[str] = []
    """Names of the sources of text, where there are several; only the report needs them."""
    figures: list[str] = []
    """Names of the figures that the report shows."""

    @classmethod
    def argument(cls, text: str) -> Self:
        """A spec from JSON text, or from the signed file named after an @."""
        return cls.model_validate(json_argument(text))

    @property
    def matched_levels(self) -> list[float]:
        """Every L0 at which some comparison is read off, in the order of the configuration."""
        levels = [l0 for item in self.comparisons for l0 in item.matched_l0]
        return list(dict.fromkeys(levels)) or [DEFAULT_LEVEL]
