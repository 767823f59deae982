"""Section ``synthetic``: protocols on data whose features are known."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.study.sections import ONCE, Natural, Section, Spec

PROTOCOLS = ("polarity_dial", "anomalies", "consolidation", "robustness", "geometry")
Size = Literal["full", "quick", "tiny"]


class Synthetic(Section):
    """Protocols whose features are known: `snakemake synthetic`."""

    with_study: bool = False
    """Whether the study runs them by itself, so that their claims are judged. Otherwise claims and
    report show them once `snakemake synthetic` has run."""
    seeds: Annotated[list[Natural], Field(min_length=1), *ONCE] = [0, 1, 2]
    """Seeds of features, samples and initial weights."""
    size: Size = "full"
    """full: the protocols, in some 20 minutes of a core a seed; quick: few settings and lambdas of
    them; tiny: small data and short runs, which show only that it works. What each has stands in
    pipeline/synthetic/sizes.py."""


class SyntheticSpec(Spec):
    """What one seed of one synthetic protocol depends on."""

    revision: int = 3
    protocol: str
    seed: int
    size: Size
