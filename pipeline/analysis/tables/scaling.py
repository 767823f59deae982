"""scaling.csv: the law by which the error falls with width, L0 and training, and how well it
predicts what it was not fitted to; predictions.csv: what it says of twice the width or training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.table import Source, Table
from pipeline.analysis.tables.cells import CELLS
from pipeline.study.measures import Measures
from pipeline.study.scope import Scope
from sagsae.comparison.scaling import AXES, SAME_L0, ScalingLaw, point_count, rivals, scaling
from sagsae.comparison.sweeps import Floats

# Factors in which recipes of one law may differ: those of the length of training.
LENGTH = ("tokens", "unique_rows", "lr_warmup_steps", "lambda_warmup_steps")
SWEPT_BY = ["recipes", "model", "hookpoint", "variant"]
# What is held out -> the column of cells of which the largest value is left out.
HELD_OUT = {"widest": "width", "longest": "training_tokens"}
# What is predicted -> the column on which it goes beyond all cells.
AXIS = {"wider": "width", "longer": "training_tokens"}
# Widths or budgets that a law needs.
LEAST = 3
Groups = Mapping[tuple[str, ...], pd.DataFrame]


def alike(scope: Scope) -> dict[str, str]:
    """Recipe -> the names of all that differ from it in the length of training alone."""
    rest = {
        name: tuple(
            sorted((k, v) for k, v in scope.levels.get(name, {}).items() if k not in LENGTH)
        )
        for name in scope.trained
    }
    return {
        name: " ".join(other or "default" for other in rest if rest[other] == rest[name])
        for name in rest
    }


def has_laws(scope: Scope) -> bool:
    """Whether some variant has three widths or three lengths of training at some place."""
    groups, seen = alike(scope), dict[tuple[str, ...], list[set[Any]]]()
    for cell in scope.grid:
        key = groups.get(cell.recipe, ""), cell.model, cell.hookpoint, cell.variant
        widths, recipes = seen.setdefault(key, [set(), set()])
        widths.add(cell.width)
        recipes.add(scope.levels.get(cell.recipe, {}).get("tokens", ""))
    return any(max(map(len, known)) >= LEAST for known in seen.values())


def _groups(known: Measures, root: Path) -> dict[str, Any]:
    """``groups``: the sound cells of each group of recipes, place and variant; ``scope``."""
    cells, scope = read_table(root / CELLS.path), known.scope
    cells = cells.assign(recipes=cells["recipe"].map(alike(scope)))
    sound = cells[(cells["collapsed"] == "") & (cells["r2"] < 1)]
    enough = {
        key: rows
        for key, rows in sound.groupby(SWEPT_BY, sort=True)
        if rows[["width", "training_tokens"]].nunique().max() >= LEAST
    }
    return {"groups": enough, "scope": scope}


SOURCE = Source("scaling", _groups, has_laws, tables=(CELLS,))
SCALING = Table(
    "scaling",
    "Scaling law of width and training",
    reads="Errors are sizes, of 1 - R², as a share. The widest and the longest trained cells are "
    "predicted by a law fitted to all others, and by two simpler predictions: nothing more is "
    "gained (flat), or the last doubling again (step).",
    header="recipes model hookpoint variant cells points parameters widths budgets fit_error "
    "widest_error widest_flat widest_step longest_error longest_flat longest_step",
    by=["recipes"],
    columns=[
        "model hookpoint variant points parameters fit_error widest_error widest_flat widest_step",
        "longest_error longest_flat longest_step",
    ],
    texts="recipes",
)
PREDICTIONS = Table(
    "predictions",
    "Predictions for twice the width or training",
    reads="R² at the study's first L0 for what was not trained, by a law fitted to all cells; and "
    "by two simpler predictions: nothing more is gained (flat), or the last doubling again (step).",
    header="recipes model hookpoint variant kind width tokens l0 r2 r2_flat r2_step",
    by=["recipes"],
    columns=["model hookpoint variant kind width tokens r2 r2_flat r2_step"],
    texts="recipes",
)


def law_of(cells: pd.DataFrame) -> ScalingLaw | None:
    """The law of some cells; None where there are too few."""
    try:
        return scaling(cells)
    except ValueError:
        return None


def _held_out(cells: pd.DataFrame, kind: str, column: str) -> dict[str, float | None]:
    """Mean sizes of the errors of three predictions of the largest width or budget from all other
    cells: by a law, and by its rivals."""
    held = cells[column] == cells[column].max()
    known, asked = cells[~held], cells[held & _near(cells["l0"], cells[~held])]
    law = law_of(known)
    if law is None or column not in _told(law) or asked.empty:
        return {}
    without = pd.DataFrame(
        [rivals(known, column, cell) for _, cell in asked.iterrows()], dtype=float
    )
    flat, step = (_misses(column, asked) for column in without.to_numpy(float).T)
    own = _misses(law.error(asked), asked)
    return {f"{kind}_error": own, f"{kind}_flat": flat, f"{kind}_step": step}


def _misses(predicted: Floats, cells: pd.DataFrame) -> float:
    """Mean size of the error of predictions of 1 - R2 of some cells, as a share; NaN if one
    lacks."""
    return float(abs(predicted / (1 - cells["r2"].to_numpy(float)) - 1).mean())


def _near(l0: pd.Series, cells: pd.DataFrame) -> pd.Series:
    """Which L0 a law of some cells may be asked for: those that the cells reach."""
    return l0.between(cells["l0"].min() / SAME_L0, cells["l0"].max() * SAME_L0)


def _told(law: ScalingLaw) -> set[str]:
    """Whether a law knows width, training tokens or both."""
    terms = {"width": "b_n", "training_tokens": "tau"}
    return {name for name, term in terms.items() if term in law.terms}


@SCALING.made_from(SOURCE)
def scaling_table(groups: Groups) -> Iterator[dict[str, Any]]:
    """One row per (group of recipes, model, hookpoint, variant).

    Columns:
        recipes: those that differ in the length of training alone
        cells, widths, budgets: how many the law is fitted to
        points, parameters: settings that the cells are seeds of, and what is fitted to them; there
            is no row unless points exceed parameters by three
        fit_error: median size of the error of 1 - R2, as a share, over the cells of the fit
        widest_error, longest_error: mean size of the error of the prediction of the widest cells,
            or of those trained longest, by a law of all others; empty where the others give no such
            law, or do not reach their L0
        widest_flat, longest_flat: the same of a prediction that nothing more is gained
        widest_step, longest_step: the same of one that repeats the last step in width or training
    """
    for key, cells in groups.items():
        if (law := law_of(cells)) is None:
            continue
        row: dict[str, Any] = dict(zip(SWEPT_BY, key, strict=True))
        row |= {"cells": len(cells), "widths": cells["width"].nunique()}
        row |= {"budgets": cells["training_tokens"].nunique()}
        row |= {"points": point_count(cells), "parameters": len(law.terms)}
        row["fit_error"] = abs(law.error(cells) / (1 - cells["r2"]) - 1).median()
        for kind, column in HELD_OUT.items():
            row |= _held_out(cells, kind, column)
        yield row


@PREDICTIONS.made_from(SOURCE)
def prediction_table(groups: Groups, scope: Scope) -> Iterator[dict[str, Any]]:
    """One row per (group of recipes, model, hookpoint, variant) and what was not trained.

    Columns:
        kind: wider: twice the widest, at the budget of most cells; longer: each width, at twice
            the longest training
        r2: predicted at this L0
        r2_flat, r2_step: by the rivals, see scaling.csv; empty where they say nothing
    """
    l0 = scope.matched_levels[0]
    for key, cells in groups.items():
        law = law_of(cells) if _near(pd.Series([l0]), cells).all() else None
        if law is None:
            continue
        usual = int(cells["training_tokens"].mode().iloc[0])
        asked = [("wider", 2 * cells["width"].max(), usual)] if "width" in _told(law) else []
        if "training_tokens" in _told(law):
            longest = 2 * cells["training_tokens"].max()
            asked += [("longer", width, longest) for width in sorted(cells["width"].unique())]
        for kind, width, tokens in asked:
            at = pd.DataFrame([dict(zip(AXES, (width, l0, tokens), strict=True))])
            row = dict(zip(SWEPT_BY, key, strict=True)) | {"kind": kind, "width": width}
            row |= {"tokens": tokens, "l0": l0, "r2": 1 - float(law.error(at)[0])}
            flat, step = rivals(cells, AXIS[kind], at.iloc[0])
            row["r2_flat"] = None if flat is None else 1 - flat
            yield row | {"r2_step": None if step is None else 1 - step}
