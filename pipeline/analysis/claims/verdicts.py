"""Verdicts: what becomes of a claim, and the helpers of those who judge."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

# Outcomes. A claim is not testable where what was measured cannot decide it. It is not measured
# where the study has no cells for it.
HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "not testable", "not measured"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a claim in this study."""

    outcome: str
    # This study's number with its uncertainty; empty where there is none.
    here: str
    # Why it is not testable, or what must be known beside the number.
    why: str = ""


class Untestable(Exception):
    """What was measured cannot decide the claim; the message says why. A judge raises it."""

    outcome = OPEN

    def __init__(self, why: str, here: str = ""):
        super().__init__(why)
        self.verdict = Verdict(outcome=self.outcome, here=here, why=why)


class Unmeasured(Untestable):
    """The study has not measured what the claim is about; the message says what it lacks."""

    outcome = MISSING


def decided(true: bool, here: str, why: str = "") -> Verdict:
    return Verdict(outcome=HOLDS if true else FAILS, here=here, why=why)


def decided_on_every(
    holds: bool, rows: pd.DataFrame, unread: pd.DataFrame, lack: str, here: str, why: str = ""
) -> Verdict:
    """The verdict on a claim about every pair: pairs that cannot be read leave it open, unless
    another pair refutes it.

    Args:
        holds: Whether every pair that can be read meets it.
        rows: The pairs that can be read.
        unread: The others.
        lack: What they lack.
        here: This study's number.
        why: What must be known beside the number.
    """
    if holds and len(unread):
        raise Untestable(f"holds at {places(rows)}; {lack} at {places(unread)}", here)
    return decided(holds, here, why)


def measured(rows: pd.DataFrame, why: str) -> pd.DataFrame:
    """The same rows; raises Unmeasured where there are none."""
    if rows.empty:
        raise Unmeasured(why)
    return rows


def place(row: pd.Series) -> str:
    """Such as "pythia-1b resid"."""
    return f"{row['model']} {row['hookpoint']}"


def places(rows: pd.DataFrame) -> str:
    """The same of each row, separated by commas."""
    return ", ".join(place(row) for _, row in rows.iterrows())
