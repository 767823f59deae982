"""Tables, figures, claims and report of a study from the metrics of its cells alone.

    python -m pipeline rebuild --from results/reference/local --out DIR

No store, no weights and no Snakemake: the same functions as the stages, on the files that
``pipeline.report.publish`` keeps. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

from pipeline.claims.page import write_claims
from pipeline.config.synthetic import PROTOCOLS
from pipeline.figures.draw import write_figure
from pipeline.jobs.json_files import read_json
from pipeline.report.write import write_report
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.figures import FIGURE_PROTOCOLS, SYNTHETIC_FIGURES
from pipeline.study.metrics import read_all
from pipeline.study.outputs import CLAIMS, REPORT, SYNTHETIC, SYNTHETIC_SUMMARY
from pipeline.study.study import Study
from pipeline.synthetic.figures import write_figure as write_protocol
from pipeline.synthetic.means import read_runs, summarise
from pipeline.tables.write import write_tables
from pipeline.text.csv_files import read_table, write_csv

CONFIGURATION, ENVIRONMENT = "configuration.json", "environment.json"


def rebuild(source: Path, study: Study, versions: Mapping[str, str], out: Path) -> None:
    """Write ``tables``, ``figures``, ``synthetic`` and the report into ``out``.

    Args:
        source: Has the metrics in ``cells`` and, if the protocols were run, ``synthetic/runs``.
        study: Says which cells, comparisons and figures.
        versions: What the study's numbers were made with; the report shows it.
        out: Folder of the results; may be ``source``.
    """
    spec = ComparisonSpec.model_validate(study.report_spec())
    tables, figures = out / "tables", out / "figures"
    write_tables(read_all(source / "cells", study.cells), spec, tables)
    for name in study.figures:
        write_figure(name, tables, spec, figures / f"{name}.png")
    runs = sorted((source / SYNTHETIC / "runs").glob("*.json"))
    shown = rebuild_synthetic(runs, study, out) if runs else []
    write_claims(spec, tables, out / SYNTHETIC_SUMMARY if runs else None, tables / CLAIMS)
    write_report(spec, tables, figures, shown, versions, out / REPORT)


def rebuild_synthetic(runs: Sequence[Path], study: Study, out: Path) -> list[Path]:
    """Write the synthetic tables and figures; return the figures in their order."""
    from pipeline.synthetic.activation import write_figure as write_activation  # imports torch

    by_protocol = {
        name: [
            path
            for seed in study.config.synthetic.seeds
            for path in runs
            if path.name == PurePosixPath(study.synthetic_run(name, seed)).name
        ]
        for name in PROTOCOLS
    }
    for name, paths in {"summary": list(chain(*by_protocol.values())), **by_protocol}.items():
        write_csv(out / SYNTHETIC / f"{name}.csv", summarise(read_runs(paths)))
    images = [out / "figures" / f"{name}.png" for name in SYNTHETIC_FIGURES]
    write_activation(images[0])
    for image in images[1:]:
        protocol, tau = FIGURE_PROTOCOLS[image.stem], study.config.synthetic.tau
        table = read_table(out / SYNTHETIC / f"{protocol}.csv")
        write_protocol(image.stem, table, read_runs(by_protocol[protocol]), tau, image)
    return images


def rebuild_published(folder: Path, out: Path) -> Study:
    """Rebuild a published study, see ``pipeline.report.publish``, and return it."""
    study = Study.from_dict(read_json(folder / CONFIGURATION), str(folder / CONFIGURATION))
    rebuild(folder, study, read_json(folder / ENVIRONMENT)["versions"], out)
    return study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the stage."""
    parser.add_argument("--from", required=True, type=Path, dest="source", help="published study")
    parser.add_argument("--out", required=True, type=Path, help="where the results go")


def main(options: argparse.Namespace) -> None:
    """Run the stage."""
    rebuild_published(options.source, options.out)
