"""The training curve of a cell: a Parquet file with a row for each logged step, every 50th.

Columns: ``step`` from 0; ``tokens``, the token-steps up to here; ``loss``, what is minimised, on
the batch of this step; its terms ``reconstruction``, ``penalty`` and ``auxiliary``, before
coefficients and at unit mean square activations (an autoencoder of another package has its own);
``l0``, active latents per token; ``dead_fraction``, the share of latents that fired in none of the
last 50 steps; ``lr`` and ``lambda`` or ``k`` of this step; ``resets``, latents reset so far.

No wall time is in it: equal trainings have equal files.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from pipeline.study.cell import Cell

if TYPE_CHECKING:
    import pandas as pd

# Columns of whole numbers.
WHOLE = ("step", "tokens", "resets")

FIRST = ("step", "tokens", "loss", "reconstruction", "penalty", "auxiliary")

# Columns that stand before and behind the terms that are an autoencoder's own.
LAST = ("l0", "dead_fraction", "lr", "lambda", "k", "resets")

# A row of ``sagsae.training.history.History``.
Row = Mapping[str, float]


def curve_content(rows: Sequence[Row], cell: Cell, train: str) -> bytes:
    """The file of a curve. Equal arguments give equal bytes with one version of Arrow.

    Args:
        rows: Those of the history; all have the same keys. Rows of earlier versions lack some
            columns, and so does their file.
        cell: Which; kept in the file's metadata.
        train: Digest of the training specification; kept there too.
    """
    known = set(rows[0]) if rows else {*FIRST, *LAST}
    own = sorted(known - {*FIRST, *LAST})  # rows that were read from JSON have another order
    names = [name for name in (*FIRST, *own, *LAST) if name in known]
    kinds = {name: pa.int64() if name in WHOLE else pa.float64() for name in names}
    columns = {name: pa.array([row[name] for row in rows], kinds[name]) for name in names}
    table = pa.table(columns).replace_schema_metadata({"cell": cell.path, "train": train})
    sink = io.BytesIO()
    parquet.write_table(
        table, sink, compression="zstd", write_statistics=False, write_page_checksum=True
    )
    return sink.getvalue()


def read_curve(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """A curve, a row per logged step; its cell, and the digest of the training that it is of.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no such file, or a damaged one; the message names it.
    """
    try:
        found = parquet.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(f"{path}: no training curve ({error})") from None
    known = {name.decode(): value.decode() for name, value in (found.schema.metadata or {}).items()}
    return found.to_pandas(), {name: known.get(name, "") for name in ("cell", "train")}
