"""What a claim is, and what becomes of it; the helpers of those who judge; the claims that a study
names: this project's, or those of a user's own module."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pandas as pd

from pipeline.claims.evidence import Evidence
from pipeline.study.sections import claims_module

# Outcomes. A claim is not testable where what was measured cannot decide it. It is not measured
# where the study has no cells for it.
HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "not testable", "not measured"

WORDS = {0.5: "half", 1: "one", 2: "two"}


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


class Number(float):
    """A number of a claim. Its texts show it as ``{least}`` (0.35) or ``{share:words}`` (half)."""

    def __format__(self, form: str) -> str:
        return WORDS[self] if form == "words" else super().__format__(form or "g")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, the criterion for it, and the judge that applies it.

    The texts are format strings. They show the claim's numbers by name, and the place of another
    claim in the list as ``{claims[key]}``.
    """

    source: str
    # What is claimed; the rule that decides; the paper's number, where it gives one.
    statement: str
    criterion: str
    paper: str = ""
    numbers: Mapping[str, Number]
    # Takes the evidence, and the numbers by name.
    judge: Callable[..., Verdict]
    # What the claim rests on, of the evidence under a setting; settings with the same count once.
    # None: each counts.
    rests_on: Callable[[Evidence], Hashable] | None = None

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
        texts = {name: getattr(self, name) for name in ("statement", "paper", "criterion")}
        told = {name: text.format(**self.numbers, claims=places) for name, text in texts.items()}
        return told | {"source": self.source}


def claim(
    source: str,
    rests_on: Callable[[Evidence], Hashable] | None = None,
    *,
    statement: str,
    criterion: str,
    paper: str = "",
    **numbers: float,
) -> Callable[[Callable[..., Verdict]], Claim]:
    """Make a function that judges a claim, and is named after it, into the ``Claim``.

    Each number is written once, here: the texts show it and the judge is given it.
    """
    shown = {name: Number(value) for name, value in numbers.items()}
    return lambda judge: Claim(
        source=source,
        statement=statement,
        criterion=criterion,
        paper=paper,
        numbers=shown,
        judge=judge,
        rests_on=rests_on,
    )


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
    """These rows; raises Unmeasured where there are none."""
    if rows.empty:
        raise Unmeasured(why)
    return rows


def readable(rows: pd.DataFrame, fits: pd.Series, why: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that can be read and the others; raises Untestable where none can."""
    if not fits.any():
        raise Untestable(why)
    return rows[fits], rows[~fits]


def place(row: pd.Series) -> str:
    """Such as "pythia-1b resid"."""
    return f"{row['model']} {row['hookpoint']}"


def places(rows: pd.DataFrame) -> str:
    """The `place` of each row, separated by commas."""
    return ", ".join(place(row) for _, row in rows.iterrows())


def load(name: str) -> ModuleType:
    """The module of claims of this name in a configuration.

    It has a list ``CLAIMS``. It may have ``LIMITS``, which its page says beside the limits of the
    study, and ``BESIDE``: columns of the matrix that tell of a setting, each with the function that
    makes its text of the evidence.

    Raises:
        ImportError: the module cannot be imported, or has no list of claims.
        ValueError: no name is given.
    """
    if not name:
        raise ValueError("this study names no claims: see `claims` in config/README.md")
    try:
        module = import_module(claims_module(name))
    except ImportError as error:
        raise ImportError(
            f"claims {name!r} cannot be imported ({error}); install their package here, or put the "
            "folder that holds them on PYTHONPATH"
        ) from error
    listed = getattr(module, "CLAIMS", None)
    if not isinstance(listed, list) or {type(item) for item in listed} != {Claim}:
        raise ImportError(f"claims {name!r}: give {module.__file__} a list CLAIMS of its @claim")
    return module


def claims_digest(name: str) -> str:
    """Digest of the sources of the module, so that a changed claim is judged again; imports nothing
    of it but the packages above."""
    module = find_spec(claims_module(name)) if name else None
    if module is None or module.origin is None:
        return ""
    file = Path(module.origin)
    files = sorted(file.parent.rglob("*.py")) if module.submodule_search_locations else [file]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
