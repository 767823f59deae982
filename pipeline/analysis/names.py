"""Which tables a study has."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.outputs import (
    BY_SOURCE,
    CLAIMS,
    CLAIMS_MATRIX,
    DIAL_TABLES,
    EFFECTS,
    MAIN_EFFECTS,
    PROBE_TABLES,
    RANKING_TABLES,
    SOURCES,
    TABLES,
)
from pipeline.study.scope import Scope


def derived_tables(scope: Scope) -> tuple[str, ...]:
    """Those that follow from the metrics of cells."""
    sources = (SOURCES, BY_SOURCE) if scope.sources else ()
    return TABLES + sources + ((EFFECTS, MAIN_EFFECTS) if scope.has_effects else ())


def claim_tables(scope: Scope) -> tuple[str, ...]:
    """Those of the claims, claims.csv first."""
    return (CLAIMS, CLAIMS_MATRIX) if scope.several_settings else (CLAIMS,)


def tables_of(scope: Scope) -> tuple[str, ...]:
    """All but the synthetic ones."""
    looks = (DIAL_TABLES if scope.dial else ()) + (PROBE_TABLES if scope.probe else ())
    ranks = RANKING_TABLES if scope.several_families else ()
    return derived_tables(scope) + looks + ranks + claim_tables(scope)


def claims_file(study: Path) -> Path:
    """Where a published study says what became of each claim: over all settings if it has several.

    Args:
        study: Its folder.
    """
    matrix = study / "tables" / CLAIMS_MATRIX
    return matrix if matrix.exists() else matrix.with_name(CLAIMS)
