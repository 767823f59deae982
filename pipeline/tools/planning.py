"""What the Snakefile does before its first rule, and when a run begins."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pipeline.cells.tracking.trackers import VARIABLE, Asked
from pipeline.jobs.cache import register
from pipeline.jobs.stage import name_run
from pipeline.study.browser import browser_specs
from pipeline.study.sections import CellNameError, ConfigError
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG, load_yaml
from pipeline.tools.requests import Requests as Requests
from sagsae.files import FileLock, LockedError


def study_of(config: dict[str, Any]) -> Study:
    """The study of Snakemake's configuration, else of the working directory's config/config.yaml,
    else the local one; ends the process with a message where it cannot be run."""
    try:
        default = next(filter(Path.exists, (Path("config/config.yaml"), DEFAULT_CONFIG)))
        raw = config if "study" in config else load_yaml(default) | config
        study = Study.from_dict(raw, "configuration", plan=True)
        browser_specs(study)
        os.environ.pop(VARIABLE, None)
        if asked := Asked.by(study):
            asked.pass_on()
    except (ConfigError, CellNameError) as error:
        sys.exit(f"error: {error}")
    return study


def begin_run(study: Study) -> None:
    """Write what the study's jobs read beside their inputs, and hold the study's lock until this
    process ends: no two runs of a study at a time, on any host."""
    lock = FileLock(Path(study.run_lock))
    try:
        lock.path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(patience=1.0)  # a job may hold it while it asks whose it is
        study.write_shared_specs()
        register(Path(study.cache), Path(study.root))
    except (LockedError, OSError) as error:
        sys.exit(f"error: {error}")
    name_run(lock)
