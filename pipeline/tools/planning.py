"""What the Snakefile does before its first rule, and when a run begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.cells.trackers import pass_on
from pipeline.jobs.cache import register
from pipeline.jobs.gpu_lease import LeaseError, visible_devices
from pipeline.jobs.stage import name_run
from pipeline.study.run_settings import RunSettings
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG, load_yaml
from pipeline.tools.cost import Requests as Requests
from pipeline.tools.preview import preview
from sagsae.files import FileLock, LockedError

# Variables of PyTorch's compiler, which jobs inherit: what it has compiled is kept for other cells,
# and it starts no process for each core.
COMPILER = {
    "TORCHINDUCTOR_CACHE_DIR": "{cache}/compiler",
    "TORCHINDUCTOR_COMPILE_THREADS": "4",
}


def study_of(config: dict[str, Any], files: Sequence[str | Path]) -> Study:
    """The study of Snakemake's configuration, else of the working directory's config/config.yaml,
    else the local one; ends the process with a message where it cannot be run.

    Args:
        config: The configuration files and `--config`, merged.
        files: The configuration files.
    """
    try:
        for file in files:
            load_yaml(Path(file))  # Snakemake keeps the last of two equal keys
        default = next(filter(Path.exists, (Path("config/config.yaml"), DEFAULT_CONFIG)))
        alone = config.keys() - RunSettings.model_fields
        if files and alone and "study" not in config:
            named = ", ".join(map(str, files))
            raise ConfigError(f"{named}: no `study`: name the study, whose results it names")
        raw = config if "study" in config else load_yaml(default) | config
        study = Study.from_dict(raw, "configuration", plan=True)
        Requests(study)  # knows the rates
        for name, value in COMPILER.items():
            os.environ.setdefault(name, value.format(cache=Path(study.cache).absolute()))
        pass_on(study)
    except ValueError as error:
        sys.exit(f"error: {error}")
    return study


def cores_here(cores: Callable[[], int]) -> int:
    """How many cores jobs may use on this machine; 0 where a scheduler runs them on others.

    Args:
        cores: Gives them; Snakemake's own raises where nobody gave it --cores.
    """
    try:
        return cores()
    except Exception:  # WorkflowError, which Snakemake is slow to import
        return 0


def gpus_of_a_job(study: Study, cores: Callable[[], int]) -> int:
    """How many GPUs a job claims, so that `--resources gpu=N` keeps no CPU idle.

    Args:
        study: Its run says which device is wanted.
        cores: As of ``cores_here``.
    """
    if study.run.device != "auto":
        return int(study.run.device == "cuda")
    if not cores_here(cores):
        return 1
    try:
        return int(bool(visible_devices()))
    except LeaseError as error:
        sys.exit(f"error: {error}")


def after_failure(study: Study, logs: Iterable[str], cores: Callable[[], int]) -> None:
    """What follows from the cells that are there, where others failed; nothing after Ctrl-C.

    Args:
        study: The study.
        logs: Snakemake's own of the run.
        cores: As of ``cores_here``.
    """
    if any("user request" in Path(log).read_text() for log in logs):
        return
    if report := preview(study, cores_here(cores) or 1):
        print(f"result of the cells that are there: {report}")


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
