"""What Snakemake can be asked for by name, one a line; a shell completes with it.

python -m pipeline targets --configfile FILE.yaml
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.analysis.figure import all_figures, figures_of, synthetic_figures
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG

# Rules that every study has.
RULES = ("all", "tables", "figures", "report", "synthetic", "hub_folder", "verify")


def targets(study: Study) -> Iterator[str]:
    """Rules, figures, and the metrics of the cells."""
    yield from RULES
    yield from (name for name, jobs in study.looks.items() if jobs)
    names = dict.fromkeys([*figures_of(study.scope), *synthetic_figures()])
    yield from (name for name in names if name in all_figures())
    yield from map(study.metrics, study.cells)


def main(configfile: Path = DEFAULT_CONFIG) -> None:
    """Print them.

    Args:
        configfile: configuration of the study (default: the local study)
    """
    print("\n".join(targets(Study.load(configfile))))
