"""Which tables a study has."""

from __future__ import annotations

from pathlib import Path

from pipeline.study import outputs
from pipeline.study.scope import Scope


def derived_tables(scope: Scope) -> tuple[str, ...]:
    """Those that follow from the metrics of cells."""
    sources = (outputs.SOURCES, outputs.BY_SOURCE) if scope.sources else ()
    effects = (outputs.EFFECTS, outputs.MAIN_EFFECTS) if scope.has_effects else ()
    return outputs.TABLES + sources + effects


def claim_tables(scope: Scope) -> tuple[str, ...]:
    """Those of the claims, claims.csv first; none where the study names no claims."""
    if not scope.claims:
        return ()
    matrix = (outputs.CLAIMS_MATRIX,) if scope.several_settings else ()
    return (outputs.CLAIMS, *matrix)


def ranking_tables(scope: Scope) -> tuple[str, ...]:
    """Those of all sweeps against all, ranking.csv first."""
    rates = (outputs.SIGN_RATES,) if scope.has_sign_rates else ()
    return outputs.RANKING_TABLES + rates


def tables_of(scope: Scope) -> tuple[str, ...]:
    """All but the synthetic ones."""
    dial = outputs.DIAL_TABLES if scope.jobs("dial") else ()
    probe = outputs.PROBE_TABLES if scope.jobs("probe") else ()
    signs = outputs.SIGNS_TABLES if scope.jobs("signs") else ()
    ranks = ranking_tables(scope) if scope.ranks_all else ()
    return derived_tables(scope) + dial + probe + signs + ranks + claim_tables(scope)


def table_kinds(scope: Scope) -> tuple[str, ...]:
    """The jobs that make them."""
    looks = [kind for kind in ("dial", "probe", "signs") if scope.jobs(kind)]
    ranking = ["ranking"] if scope.ranks_all else []
    return ("cells", *looks, *ranking, *(["claims"] if scope.claims else []))


def claims_file(study: Path) -> Path:
    """Where a published study says what became of each claim: over all settings if it has several.

    Args:
        study: Its folder.
    """
    matrix = study / "tables" / outputs.CLAIMS_MATRIX
    return matrix if matrix.exists() else matrix.with_name(outputs.CLAIMS)
