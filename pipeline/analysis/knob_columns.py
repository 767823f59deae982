"""Columns of tables for what sets a cell's sparsity: ``lam``, and ``k`` where some cell has one."""

from __future__ import annotations

import pandas as pd

from sagsae.autoencoders.registry import K

CELL_K = "cell_k"
"""The k of a cell in tables of probes, where ``k`` is the number of sides of a probe."""


def without_idle_k(table: pd.DataFrame, name: str = K) -> pd.DataFrame:
    """The table without its column ``k``, or another that holds it, where no row has one; whole
    numbers elsewhere."""
    if name not in table or table[name].isna().all():
        return table.drop(columns=name, errors="ignore")
    return table.astype({name: "Int64"})


def k_for_lambda(table: pd.DataFrame) -> pd.DataFrame:
    """A table of probes with the k of a cell in the place of its lambda, where it has one."""
    if CELL_K not in table:
        return table
    lam = table["lam"].fillna(table[CELL_K].astype(float))
    return table.assign(lam=lam).drop(columns=CELL_K)
