"""Tables, figures, claims and report of a study from the metrics of its cells alone.

    python -m pipeline.rebuild --from results/reference/local --out DIR

No store, no weights and no Snakemake: the same functions as the stages, on the files that
``pipeline.publish`` keeps. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.claims import write_claims
from pipeline.figures import write_figure
from pipeline.files import read_json
from pipeline.metrics import ComparisonSpec, read_all
from pipeline.report import write_report
from pipeline.stage import run_stage
from pipeline.study import CLAIMS, REPORT, SYNTHETIC_SUMMARY, Study
from pipeline.tables import write_tables

CONFIGURATION, ENVIRONMENT = "configuration.json", "environment.json"


def rebuild(
    study: Study, cells: Path, synthetic: Path | None, versions: Mapping[str, str], out: Path
) -> None:
    """Write ``tables``, ``figures`` and the report into ``out``.

    Args:
        study: Says which cells, comparisons and figures.
        cells: The folder of the cells' metrics.
        synthetic: Summary of the synthetic protocols, if they were run.
        versions: What the study's numbers were made with; the report shows it.
        out: Folder of the results.
    """
    spec = ComparisonSpec.model_validate(study.report_spec())
    tables, figures = out / "tables", out / "figures"
    write_tables(read_all(cells, study.cells), spec, tables)
    for name in study.figures:
        write_figure(name, tables, spec, figures / f"{name}.png")
    write_claims(spec, tables, synthetic, tables / CLAIMS)
    write_report(spec, tables, figures, versions, out / REPORT)


def rebuild_published(folder: Path, out: Path) -> Study:
    """Rebuild a published study, see ``pipeline.publish``, and return it."""
    study = Study.from_dict(read_json(folder / CONFIGURATION), str(folder / CONFIGURATION))
    versions = read_json(folder / ENVIRONMENT)["versions"]
    synthetic = folder / SYNTHETIC_SUMMARY
    rebuild(study, folder / "cells", synthetic if synthetic.exists() else None, versions, out)
    return study


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.rebuild")
    parser.add_argument("--from", required=True, type=Path, dest="source", help="published study")
    parser.add_argument("--out", required=True, type=Path, help="where the results go")
    options = parser.parse_args(arguments)
    rebuild_published(options.source, options.out)


if __name__ == "__main__":
    run_stage(main)
