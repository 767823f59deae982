"""The cells of a study, one name per line, for ``snakemake`` and for scripts.

python -m pipeline cells --configfile FILE.yaml --variant gated --targets
"""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.config.study_config import DEFAULT_CONFIG
from pipeline.study.study import Study

FILTERS = ("model", "hookpoint", "variant")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the tool."""
    parser.add_argument(
        "--configfile",
        type=Path,
        default=DEFAULT_CONFIG,
        help="configuration of the study (default: the local study)",
    )
    for name in FILTERS:
        parser.add_argument(
            f"--{name}", default="*", help=f"only cells of this {name}; * and ? are wildcards"
        )
    parser.add_argument(
        "--targets", action="store_true", help="print the metrics file of each, a Snakemake target"
    )
    parser.add_argument(
        "--missing", action="store_true", help="only cells whose metrics file is not there"
    )


def main(options: argparse.Namespace) -> None:
    """Print the cells."""
    study = Study.load(options.configfile)
    for cell in study.cells:
        if not all(fnmatchcase(getattr(cell, name), getattr(options, name)) for name in FILTERS):
            continue
        if options.missing and Path(study.metrics(cell)).exists():
            continue
        print(study.metrics(cell) if options.targets else cell.path)
