"""What claims are judged by: the tables of a study."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.tables.cells import CELLS
from pipeline.analysis.tables.comparison import COMPARISON, CONTRASTS
from pipeline.analysis.tables.dial import DIAL
from pipeline.analysis.tables.effects import SETTINGS
from pipeline.analysis.tables.latents import COST, LATENTS
from pipeline.analysis.tables.synthetic import SUMMARY
from pipeline.study.scope import Scope
from pipeline.study.settings import Setting

# Tables of every study.
ALWAYS = (COMPARISON, CONTRASTS, LATENTS, COST, CELLS)
# All from which claims are judged.
READ = (*ALWAYS, SETTINGS, DIAL, SUMMARY)
POINT = ("comparison", "recipe", "model", "hookpoint")
# Tables with rows of several pairs of widths.
SWEEPS = ("contrasts", "latents", "parameters", "cells")
# Begins the columns of effects.csv on dead latents at equal L0, beside those at equal lambda.
EQUAL_L0 = "equal_l0_"


@dataclass(frozen=True)
class Evidence:
    """The tables of one study, or what stands in them under one setting."""

    spec: Scope
    # Where the study has several settings, with the columns of effects.csv on equal L0.
    comparison: pd.DataFrame
    contrasts: pd.DataFrame
    latents: pd.DataFrame
    parameters: pd.DataFrame
    cells: pd.DataFrame
    synthetic: pd.DataFrame | None
    # None where the study does not steer with latents.
    dial: pd.DataFrame | None = None
    setting: Setting | None = None

    @classmethod
    def read(cls, spec: Scope, root: Path) -> Evidence:
        """From the folder of results, which has the tables."""
        rows = {table: read_table(root / table.path) for table in READ if table.is_of(spec)}
        fields: dict[str, Any] = {table.name: rows[table] for table in ALWAYS}
        if SETTINGS in rows:
            equal = rows[SETTINGS].set_index(list(POINT)).filter(like=EQUAL_L0)
            fields["comparison"] = fields["comparison"].join(equal, on=list(POINT))
        return cls(spec=spec, synthetic=rows.get(SUMMARY), dial=rows.get(DIAL), **fields)

    def under(self, setting: Setting) -> Evidence:
        """What stands under one setting, as if the study had no other.

        Where the study has several pairs of widths, what stands beside the comparisons is what has
        one of the setting's own.
        """
        recipe, tables = setting.recipe, self._tables()
        for name in ("comparison", "contrasts"):
            tables[name] = tables[name][tables[name]["recipe"] == recipe]
        for name in ("latents", "parameters", "cells"):
            tables[name] = self.spec.under(recipe, tables[name])
        if self.dial is not None:
            first = not self.spec.several_widths or setting.comparison in (None, 1)
            steered = (self.dial["recipe"] == recipe) & (self.dial["comparison"] == 1)
            tables["dial"] = self.dial[steered & first]
        if self.spec.several_widths and setting.comparison is not None:
            widths = self.spec.widths(setting)
            for name in SWEEPS:
                for column in tables[name].filter(regex="^(candidate_|baseline_)?width$"):
                    there = _pairs(tables[name], "model", column).isin(widths)
                    tables[name] = tables[name][there]
        return replace(self, setting=setting, **tables)

    def at(self, places: Collection[tuple[str, str]]) -> Evidence:
        """What stands at some (model, hookpoint), as if the study had no other."""
        tables = self._tables()
        for name, table in tables.items():
            tables[name] = table[_pairs(table, "model", "hookpoint").isin(places)]
        return replace(self, **tables)

    @property
    def of_setting(self) -> pd.DataFrame:
        """Rows of the setting's comparison, where both its sides have cells; all comparisons where
        the study has one setting."""
        rows = self.comparison
        if self.setting is None or not self.spec.several_settings:
            return rows
        rows = rows[rows["comparison"] == (self.setting.comparison or 0)]
        return rows[_pairs(rows, "model", "hookpoint").isin(self.spec.places(self.setting))]

    def _tables(self) -> dict[str, Any]:
        """The tables that are of several recipes and places."""
        names = ("comparison", *SWEEPS, "dial")
        return {name: table for name in names if (table := getattr(self, name)) is not None}


def _pairs(table: pd.DataFrame, *names: str) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[[*names]])
