"""The tables of a study, as what its figures draw is expected from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.analysis.numbers import LOOKS
from tests.pipeline.analysis.figures.artists import rows, title

PLACES = ["model", "hookpoint"]


@dataclass(frozen=True)
class Study:
    """A folder with tables and measures."""

    root: Path
    measures: Path

    def table(self, name: str, recipe: str | None = None) -> pd.DataFrame:
        """Of the folder of tables; of one recipe where one is named."""
        found = pd.read_csv(
            self.root / "tables" / f"{name}.csv", keep_default_na=False, na_values=[""]
        )
        for text in {"recipe", "collapsed", "variant", "bound"} & set(found):
            found[text] = found[text].astype(object).fillna("")
        return found if recipe is None else found[found["recipe"] == recipe]

    def protocol(self, name: str, *, picked: bool = True) -> pd.DataFrame:
        """Of a synthetic protocol; at its operating points alone if ``picked``."""
        found = pd.read_csv(self.root / "synthetic" / f"{name}.csv")
        setting = found["setting"].str.partition("=")
        found = found.assign(asked=setting[0], x=setting[2].astype(float))
        return found[found["picked"]] if picked else found

    def lines(self, name: str) -> list[dict]:
        return [json.loads(line) for line in (self.measures / name).read_text().splitlines()]

    @property
    def scope(self) -> dict:
        return json.loads((self.measures / "study.json").read_text())

    @property
    def level(self) -> float:
        """The first L0 at which it is read off."""
        return float(self.scope["comparisons"][0]["matched_l0"][0])

    def main(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of both sides of the first comparison."""
        first = self.scope["comparisons"][0]
        sides = [
            (first[side]["variant"], first[side]["expansion"]) for side in ("candidate", "baseline")
        ]
        multiple = self.multiple(table)
        return table[[one in sides for one in zip(table["variant"], multiple, strict=True)]]

    def multiple(self, table: pd.DataFrame) -> pd.Series:
        """Widths over d."""
        return table["width"] / table["model"].map(self.scope["models"]).astype(float)

    def labels(self, table: pd.DataFrame) -> pd.Series:
        """Of each row such as "Gated, H = 1152 / 1280": its variant, its width at all models."""
        multiple = self.multiple(table)
        widths = (
            table["width"]
            .groupby([table["variant"], multiple])
            .transform(lambda own: " / ".join(str(width) for width in sorted(set(own))))
        )
        return table["variant"].map(lambda name: LOOKS[name].label) + ", H = " + widths


def by_place(figure: Figure, table: pd.DataFrame) -> dict[Axes, pd.DataFrame]:
    """Each panel with the rows of the model and hookpoint that its title names."""
    found = {}
    for panel in figure.axes:
        model, hookpoint = title(panel).split(", ")[:2]
        found[panel] = table[(table["model"] == model) & (table["hookpoint"] == hookpoint)]
    shown = pd.concat(found.values())
    assert len(shown) == len(table), "some place has no panel, or several"
    return found


def series(table: pd.DataFrame, *columns: str, by: str = "label") -> dict[str, np.ndarray]:
    """Label -> its points of some columns."""
    return {str(label): rows(*(own[name] for name in columns)) for label, own in table.groupby(by)}
