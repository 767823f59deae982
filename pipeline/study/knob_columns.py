"""Columns of tables for what sets a cell's sparsity: ``lam``, and ``k`` where some cell has one."""

from __future__ import annotations

import pandas as pd

from sagsae.autoencoders.registry import K


def without_idle_k(table: pd.DataFrame) -> pd.DataFrame:
    """The table without its column ``k`` where no row has one; whole numbers elsewhere."""
    if K not in table or table[K].isna().all():
        return table.drop(columns=K, errors="ignore")
    return table.astype({K: "Int64"})
