"""What a study is doing: cells finished, running and failed, how fast, how long still.

From its files alone: it works beside a run, on another node, and after a crash.

python -m pipeline status --configfile FILE.yaml --watch
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pipeline.config.study_config import DEFAULT_CONFIG
from pipeline.status.overview import Overview, overview
from pipeline.status.words import lines
from pipeline.study.study import Study

EVERY = 5.0
"""Seconds between two looks."""


def main(configfile: Path = DEFAULT_CONFIG, watch: bool = False) -> None:
    """Print it.

    Args:
        configfile: configuration of the study (default: the local study)
        watch: again every few seconds, until every cell is finished or you press Ctrl-C
    """
    study = Study.load(configfile)

    def look() -> tuple[Overview, float]:
        now = time.time()
        return overview(study, now), now

    if watch and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from pipeline.status import screen

        screen.watch(look, EVERY)
        return
    while True:
        found, now = look()
        print("\n".join(lines(found, now)), flush=True)
        if not watch or len(found.of("finished")) == len(found.cells):
            return
        try:
            time.sleep(EVERY)
        except KeyboardInterrupt:
            return
