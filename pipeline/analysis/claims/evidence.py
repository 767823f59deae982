"""What a claim is, and what claims are judged by: the tables of a study."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import getdoc
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.analysis.claims.verdicts import Untestable, Verdict, measured
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.numbers import format_number, with_error
from pipeline.study import outputs
from pipeline.study.scope import Scope
from pipeline.study.settings import SIGN_AWARE, Setting
from sagsae.sweeps import Estimate

NO_MAIN = "no comparison of a sign-aware variant with Gated of twice its width"
POINT = ("comparison", "recipe", "model", "hookpoint")
# Tables with rows of several pairs of widths.
SWEEPS = ("contrasts", "latents", "parameters", "cells")
# Begins the columns of effects.csv on dead latents at equal L0, beside those at equal lambda.
EQUAL_L0 = "equal_l0_"

# Sources: arXiv 2605.28149, v1 of May 2026, v2 of August 2026, its titles and figure captions.
V1, V2, CAPTION = "abstract, v1", "abstract, v2", "captions"
WORDS = {0.5: "half", 1: "one", 2: "two"}


class Number(float):
    """A number of a claim. Its texts show it as ``{least}`` (0.35) or ``{share:words}`` (half)."""

    def __format__(self, form: str) -> str:
        return WORDS[self] if form == "words" else super().__format__(form or "g")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper, the project's own criterion for it, and the judge that applies it.

    The judge's docstring has the texts: what is claimed, the paper's number after ``Paper:`` where
    it gives one, and the criterion. They are format strings. They show the claim's numbers by name,
    and the place of another claim in the list as ``{claims[key]}``.
    """

    source: str
    numbers: Mapping[str, Number]
    # Takes the evidence, and the numbers by name.
    judge: Callable[..., Verdict]

    @property
    def key(self) -> str:
        return self.judge.__name__

    def verdict(self, evidence: Evidence) -> Verdict:
        """Apply the criterion to the tables of a study."""
        try:
            return self.judge(evidence, **self.numbers)
        except Untestable as reason:
            return reason.verdict

    def texts(self, places: Mapping[str, int]) -> dict[str, str]:
        """statement, paper, source and criterion as readers see them."""
        told = (getdoc(self.judge) or "").format(**self.numbers, claims=places)
        statement, *paper, criterion = (" ".join(part.split()) for part in told.split("\n\n"))
        number = paper[0].removeprefix("Paper: ") if paper else ""
        texts = {"statement": statement.removesuffix("."), "paper": number.removesuffix(".")}
        return texts | {"source": self.source, "criterion": criterion}


def claim(source: str, **numbers: float) -> Callable[[Callable[..., Verdict]], Claim]:
    """Make a function that judges a claim, and is named after it, into the ``Claim``.

    Each number is written once, here: the texts show it and the judge is given it.
    """
    shown = {name: Number(value) for name, value in numbers.items()}
    return lambda judge: Claim(judge=judge, numbers=shown, source=source)


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
    def read(cls, spec: Scope, tables: Path, synthetic: Path | None) -> Evidence:
        """From the folder of the tables, and the summary of the synthetic protocols."""
        names = [name for name in outputs.TABLES if Path(name).stem in cls.__annotations__]
        found: dict[str, Any] = {Path(name).stem: read_table(tables / name) for name in names}
        if spec.has_effects:
            effects = read_table(tables / outputs.EFFECTS).set_index(list(POINT))
            equal = effects.filter(like=EQUAL_L0)
            found["comparison"] = found["comparison"].join(equal, on=list(POINT))
        if spec.jobs("dial"):
            found["dial"] = read_table(tables / outputs.DIAL)
        return cls(spec=spec, synthetic=read_table(synthetic) if synthetic else None, **found)

    def under(self, setting: Setting) -> Evidence:
        """What stands under one setting, as if the study had no other.

        The comparison is that of the setting, where both its sides have cells. Where the study has
        several pairs of widths, what else stands is what has one of the setting's own.
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
        if self.spec.several_settings:
            rows = tables["comparison"]
            rows = rows[rows["comparison"] == (setting.comparison or 0)]
            there = _pairs(rows, "model", "hookpoint").isin(self.spec.places(setting))
            tables["comparison"] = rows[there]
        if self.spec.several_widths and setting.comparison is not None:
            own = self.spec.widths(setting)
            for name in SWEEPS:
                for column in tables[name].filter(regex="^(candidate_|baseline_)?width$"):
                    there = _pairs(tables[name], "model", column).isin(own)
                    tables[name] = tables[name][there]
        return replace(self, setting=setting, **tables)

    def at(self, places: Collection[tuple[str, str]]) -> Evidence:
        """What stands at some (model, hookpoint), as if the study had no other."""
        tables = self._tables()
        for name, table in tables.items():
            tables[name] = table[_pairs(table, "model", "hookpoint").isin(places)]
        return replace(self, **tables)

    def _tables(self) -> dict[str, Any]:
        """The tables that are of several recipes and places."""
        names = ("comparison", *SWEEPS, "dial")
        return {name: table for name in names if (table := getattr(self, name)) is not None}

    @cached_property
    def main(self) -> pd.DataFrame:
        """Rows of the first comparison of an intact sign-aware variant with Gated of twice its
        width; none where the study has no such comparison."""
        table = self.comparison
        fits = (
            table["candidate_variant"].isin(SIGN_AWARE)
            & (table["baseline_variant"] == "gated")
            & (2 * table["candidate_width"] == table["baseline_width"])
        )
        numbers = table.loc[fits, "comparison"]
        return table[fits & (table["comparison"] == numbers.min())]

    @property
    def compared(self) -> pd.DataFrame:
        """Those with a common L0 range; raises Untestable where there are none."""
        rows = measured(self.main, NO_MAIN)
        if rows["dominates"].isna().all():
            reasons = dict.fromkeys(reason for reason in rows["overlap_reason"] if reason)
            raise Untestable("; ".join(reasons))
        return rows[rows["dominates"].notna()]

    @property
    def rest(self) -> pd.DataFrame:
        """Those where the candidate does not dominate; raises Untestable where there are none."""
        rows = self.compared[~self.compared["dominates"].astype(bool)]
        if rows.empty:
            raise Untestable("it strictly dominates on every pair compared: none is left")
        return rows

    def contrast(self, kind: str, candidates: tuple[str, ...], baseline: str) -> pd.DataFrame:
        """Rows of the first candidate that the study has against a baseline."""
        table = self.contrasts[self.contrasts["kind"] == kind]
        table = table[table["baseline_variant"] == baseline]
        first = next((name for name in candidates if name in set(table["candidate_variant"])), "")
        return table[table["candidate_variant"] == first]

    @property
    def widths(self) -> pd.DataFrame:
        """Contrasts of a sign-aware variant at H with itself at 2H."""
        table = self.contrasts
        return table[(table["kind"] == outputs.WIDTH) & table["candidate_variant"].isin(SIGN_AWARE)]

    def candidate_only(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of a table of sweeps that are the main comparison's candidate."""
        names = ["model", "hookpoint", "variant", "width"]
        sides = ["model", "hookpoint", "candidate_variant", "candidate_width"]
        candidates = pd.MultiIndex.from_frame(self.main[sides])
        return table[pd.MultiIndex.from_frame(table[names]).isin(candidates)]


def _pairs(table: pd.DataFrame, one: str, other: str) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([table[one], table[other]])


def over_seeds(cells: pd.DataFrame, column: str) -> Estimate:
    """Mean of a column over cells; its error over seeds, each averaged over its cells first."""
    by_seed = cells.groupby("seed")[column].mean()
    return Estimate(mean=float(cells[column].mean()), se=Estimate.of(by_seed).se)


def format_estimate(estimate: Estimate) -> str:
    """An estimate in words, with a remark where one seed leaves it without error."""
    if estimate.se is None:
        return f"{format_number(estimate.mean)} (one seed)"
    return with_error(estimate.mean, estimate.se)
