"""Put what was kept of a study back, so that the study continues on another machine.

    python -m pipeline restore --from results/reference/deep --configfile FILE.yaml

`publish --unfinished` keeps the metrics of cells, and what steering and probes found, as they are
finished. After this, Snakemake does only what is missing. What is here already stays as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path, PurePath

from pipeline.study.current import is_current, made_for
from pipeline.study.outputs import CURVE, METRICS
from pipeline.study.study import Study
from sagsae.files import write_atomic


def restore(study: Study, source: Path, workdir: Path = Path()) -> tuple[int, list[str]]:
    """Copy metrics, steering and probes, made under the study's present configuration.

    Args:
        study: Its paths are relative to ``workdir``.
        source: The kept study.
        workdir: Where Snakemake runs.

    Returns:
        How many cells were put back, and the paths of those that were kept under other settings.
    """
    restored, others = 0, []
    for cell in study.cells:
        kept = source / "cells" / cell.path / METRICS
        place = workdir / study.metrics(cell)
        if place.exists() or not kept.exists():
            continue
        if is_current(study, cell, kept):
            if (curve := kept.with_name(CURVE)).exists():
                _copy(curve, place.with_name(CURVE))
            _copy(kept, place)
            restored += 1
        else:
            others.append(cell.path)
    for file, spec in study.looked_into.items():
        kept = source / PurePath(file).relative_to(study.root)
        if not (workdir / file).exists() and made_for(kept, spec):
            _copy(kept, workdir / file)
    return restored, others


def _copy(kept: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, kept.read_bytes())


def main(from_: Path, configfile: Path) -> None:
    """Run the stage.

    Args:
        from_: the kept study
        configfile: configuration of the study that continues
    """
    study = Study.load(configfile)
    restored, others = restore(study, from_)
    missing = sum(not Path(study.metrics(cell)).exists() for cell in study.cells)
    print(f"{restored} cells put back, {missing} of {len(study.cells)} are left to train")
    if others:
        some = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        print(
            f"warning: {len(others)} of these were kept under other settings and are trained "
            f"again: {some}",
            file=sys.stderr,
        )
