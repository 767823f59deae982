"""Mean, spread and range of every feature of an activation store.

    python -m pipeline statistics cache/stores/smollm2-135m-train-0123abcd --out features.csv

Prints a line per hookpoint. The table has a line per feature. One pass reads and checks the whole
store, on processes of dask where it is large, see ``pipeline.jobs.cluster``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.jobs.cluster import cluster, reporter, size_of_rows
from sagsae.activations import Store
from sagsae.activations.feature_statistics import FeatureStatistics, feature_statistics
from sagsae.files import write_atomic


def summary(found: dict[str, FeatureStatistics]) -> pd.DataFrame:
    """A line per hookpoint.

    ``share of the mean`` is |mean|^2 over the mean square of the rows; ``widest feature`` is the
    largest standard deviation over the median one.
    """
    rows = []
    for name, of in found.items():
        deviation = np.sqrt(of.variance)
        mean_square = float((of.variance + of.mean**2).sum())
        rows.append(
            {
                "hookpoint": name,
                "rows": of.count,
                "features": len(of.mean),
                "root mean square": mean_square**0.5,
                "share of the mean": float((of.mean**2).sum()) / mean_square,
                "widest feature": float(deviation.max() / np.median(deviation)),
                "smallest": float(of.minimum.min()),
                "largest": float(of.maximum.max()),
            }
        )
    return pd.DataFrame(rows)


def features(found: dict[str, FeatureStatistics]) -> pd.DataFrame:
    """A line per feature of each hookpoint."""
    parts = [
        pd.DataFrame(
            {
                "hookpoint": name,
                "feature": np.arange(len(of.mean)),
                "mean": of.mean,
                "sd": np.sqrt(of.variance),
                "min": of.minimum,
                "max": of.maximum,
            }
        )
        for name, of in found.items()
    ]
    return pd.concat(parts, ignore_index=True)


def main(
    store: str,
    /,
    hookpoints: Sequence[str] = (),
    out: Path | None = None,
    scheduler: str = "",
) -> None:
    """Run the tool.

    Args:
        store: folder or s3:// URL of the store
        hookpoints: which; all when absent
        out: CSV to write, a line per feature
        scheduler: address of a scheduler of dask; "local" starts processes here, "threads" none
    """
    opened = Store.open(store)
    with cluster(scheduler, size_of_rows(opened)):
        report = reporter(f"statistics {opened.storage.name}")
        found = feature_statistics(opened, hookpoints or None, report)
    print(summary(found).to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    if out is not None:
        write_atomic(out, features(found).to_csv(index=False).encode())
