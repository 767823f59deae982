"""What the claims are judged by: a study's tables, and the questions that claims ask of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.outputs import CELLS, COMPARISON, CONTRASTS, LATENTS, PARAMETERS, WIDTH
from pipeline.text.csv_files import read_table
from pipeline.text.numbers import plain, with_error
from sagsae.sweeps import Estimate

SIGN_AWARE = ("sagsae", "sagsae_sym", "sagsae_tied")
"""The intact sign-aware variants, which the paper's claims are about."""
HOLDS, FAILS, OPEN = "holds", "does not hold", "not testable"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a claim in this study."""

    outcome: str
    here: str
    """This study's number with its uncertainty; empty where there is none."""
    why: str = ""
    """Why it is not testable, or what must be known beside the number."""


def untestable(why: str, here: str = "") -> Verdict:
    return Verdict(outcome=OPEN, here=here, why=why)


def decided(true: bool, here: str, why: str = "") -> Verdict:
    return Verdict(outcome=HOLDS if true else FAILS, here=here, why=why)


@dataclass(frozen=True)
class Evidence:
    """The tables of one study."""

    spec: ComparisonSpec
    comparison: pd.DataFrame
    contrasts: pd.DataFrame
    latents: pd.DataFrame
    parameters: pd.DataFrame
    cells: pd.DataFrame
    synthetic: pd.DataFrame | None

    @classmethod
    def read(cls, spec: ComparisonSpec, tables: Path, synthetic: Path | None) -> Evidence:
        """From the folder of the tables, and the summary of the synthetic protocols."""
        return cls(
            spec=spec,
            comparison=read_table(tables / COMPARISON),
            contrasts=read_table(tables / CONTRASTS),
            latents=read_table(tables / LATENTS),
            parameters=read_table(tables / PARAMETERS),
            cells=read_table(tables / CELLS),
            synthetic=read_table(synthetic) if synthetic else None,
        )

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
        """Those with an L0 overlap."""
        return self.main[self.main["dominates"].notna()]

    @property
    def rest(self) -> pd.DataFrame:
        """Those where the candidate does not dominate."""
        return self.compared[~self.compared["dominates"].astype(bool)]

    @property
    def no_main(self) -> str:
        """Why there is nothing to compare."""
        if self.main.empty:
            return "no comparison of a sign-aware variant with Gated of twice its width"
        reasons = dict.fromkeys(reason for reason in self.main["overlap_reason"] if reason)
        return "; ".join(reasons)

    def contrast(self, kind: str, candidates: tuple[str, ...], baseline: str) -> pd.DataFrame:
        """Rows of the first candidate that the study has against a baseline."""
        table = self.contrasts[self.contrasts["kind"] == kind]
        for candidate in candidates:
            rows = table[
                (table["candidate_variant"] == candidate) & (table["baseline_variant"] == baseline)
            ]
            if len(rows):
                return rows
        return table.iloc[:0]

    @property
    def widths(self) -> pd.DataFrame:
        """Contrasts of a sign-aware variant at H with itself at 2H."""
        table = self.contrasts
        return table[(table["kind"] == WIDTH) & table["candidate_variant"].isin(SIGN_AWARE)]

    def candidate_only(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of a table of sweeps that are the main comparison's candidate."""
        keys = set(
            zip(
                *(self.main[name] for name in ("model", "hookpoint")),
                self.main["candidate_variant"],
                self.main["candidate_width"],
                strict=True,
            )
        )
        names = ("model", "hookpoint", "variant", "width")
        rows = zip(*(table[name] for name in names), strict=True)
        return table[[row in keys for row in rows]]


def place(row: pd.Series) -> str:
    """Such as "pythia-1b resid"."""
    return f"{row['model']} {row['hookpoint']}"


def over_seeds(cells: pd.DataFrame, column: str) -> Estimate:
    """Mean of a column over cells; its error over seeds, each averaged over its cells first."""
    by_seed = cells.groupby("seed")[column].mean()
    return Estimate(mean=float(cells[column].mean()), se=Estimate.of(by_seed).se)


def shown(estimate: Estimate) -> str:
    """An estimate in words, with a remark where one seed leaves it without error."""
    if estimate.se is None:
        return f"{plain(estimate.mean)} (one seed)"
    return with_error(estimate.mean, estimate.se)
