"""Verdicts under several settings, side by side: what each hangs on, and what tells them apart.

A verdict *hangs on* a factor if another level of that factor turns it, all else equal: the same
claim, judged at the (model, hookpoint) that both settings have, holds under one and not under the
other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from pipeline.analysis.claims import protocols, sweeps
from pipeline.analysis.claims.evidence import EQUAL_L0, Claim, Evidence
from pipeline.analysis.claims.verdicts import FAILS, HOLDS, MISSING
from pipeline.analysis.tables.sweeps import SWEEP
from pipeline.study.scope import Scope
from pipeline.study.settings import PAPER_FAMILY, Factor, Setting, differ_in
from sagsae.autoencoders.registry import stem

# ``number`` counts settings. ``same_as`` is of a claim that makes no comparison with Gated: the
# number of a setting with the same cells of other variants, with which it is one training, so that
# it counts once. Made-up data are one run. ``dead_in_baseline`` says how many pairs have a baseline
# with dead latents, without which nothing can be said of fewer dead ones.
COLUMNS = (
    *("claim", "statement", "number", "recipe", "widths", "outcome", "hangs_on"),
    *("dead_in_baseline", "same_as"),
)


def matrix_table(evidence: Evidence, listed: Sequence[Claim], table: pd.DataFrame) -> pd.DataFrame:
    """One row per (claim, setting).

    Args:
        evidence: The tables of the study, of all settings.
        listed: The claims.
        table: Their verdicts: claims.csv, one block of claims per setting.
    """
    settings, size = evidence.spec.settings, len(listed)
    hangs = hanging(evidence, listed, table)
    dead = [dead_in_baseline(evidence.under(setting)) for setting in settings]
    trainings = [_training(evidence.under(setting)) for setting in settings]
    one_run = [frozenset[Hashable]()] * len(settings)
    same = {}
    for place, claim in enumerate(listed):
        if (module := claim.judge.__module__) != sweeps.__name__:
            known = one_run if module == protocols.__name__ else trainings
            same[claim.key] = _same_as(known, table["outcome"].iloc[place::size].tolist())
    rows: list[dict[Any, Any]] = []
    for i, row in enumerate(table.to_dict("records")):
        number, setting = i // size, settings[i // size]
        names = hangs.get((row["claim"], setting), ())
        own = {"number": number + 1, "widths": setting.widths, "hangs_on": "; ".join(names)}
        own["same_as"] = same[row["claim"]][number] if row["claim"] in same else None
        rows.append(row | own | {"dead_in_baseline": dead[number]})
    order = [claim.key for claim in listed]
    rows.sort(key=lambda row: order.index(row["claim"]))
    found = pd.DataFrame(rows).astype({"same_as": "Int64"})
    return found[[*COLUMNS, *(["reference"] if "reference" in table else [])]]


def _training(evidence: Evidence) -> frozenset[Hashable]:
    """The cells under a setting of the paper's variants, but those of Gated."""
    cells = evidence.cells
    own = cells[(cells["variant"].map(stem) == PAPER_FAMILY) & (cells["variant"] != "gated")]
    return frozenset(own[[*SWEEP, "lam", "seed"]].itertuples(index=False, name=None))


def _same_as(trainings: Sequence[Hashable], outcomes: Sequence[str]) -> list[int | None]:
    """Of each setting the number of the one that stands for its training, the first that was
    measured; None for that one."""
    first: dict[Hashable, int] = {}
    for i in sorted(range(len(outcomes)), key=lambda i: outcomes[i] == MISSING):
        first.setdefault(trainings[i], i)
    return [None if first[one] == i else first[one] + 1 for i, one in enumerate(trainings)]


def dead_in_baseline(evidence: Evidence) -> str:
    """Such as "4 of 6 pairs", of what stands under one setting; empty where nothing is compared."""
    rows = evidence.main
    if rows.empty or f"{EQUAL_L0}ceiling" not in rows:
        return ""
    some = rows["dead_ceiling"].notna() | rows[f"{EQUAL_L0}ceiling"].notna()
    return f"{some.sum()} of {len(rows)} pairs"


def hanging(
    evidence: Evidence, listed: Sequence[Claim], table: pd.DataFrame
) -> dict[tuple[str, Setting], list[str]]:
    """(claim, setting) -> the factors on which the verdict hangs, where there are some."""
    settings, size = evidence.spec.settings, len(listed)
    shown = {
        setting: dict(zip(block["claim"], block["outcome"], strict=True))
        for i, setting in enumerate(settings)
        for block in [table.iloc[i * size : (i + 1) * size]]
    }
    found: dict[tuple[str, Setting], list[str]] = {}
    for factor, one, other in _neighbours(evidence.spec):
        pair = (one, other)
        there = [evidence.spec.places(setting) for setting in pair]
        if there[0] == there[1]:
            judged = {setting: shown[setting] for setting in pair}
        else:
            common = [place for place in there[0] if place in there[1]]
            if not common:
                continue
            judged = {}
            for setting in pair:
                here = evidence.under(setting).at(common)
                judged[setting] = {claim.key: claim.verdict(here).outcome for claim in listed}
        for claim in listed:
            outcomes = [judged[setting][claim.key] for setting in pair]
            for setting, outcome in zip(pair, outcomes, strict=True):
                turned = set(outcomes) == {HOLDS, FAILS} and shown[setting][claim.key] == outcome
                names = found.setdefault((claim.key, setting), [])
                if turned and factor.name not in names:
                    names.append(factor.name)
    return found


def _neighbours(spec: Scope) -> Iterator[tuple[Factor, Setting, Setting]]:
    """Settings that differ in one factor alone, and in which."""
    for one, other in combinations(spec.settings, 2):
        differing = differ_in(spec.factors, one, other)
        if len(differing) == 1:
            yield differing[0], one, other
