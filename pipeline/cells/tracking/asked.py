"""What section ``tracking`` asks for: how jobs learn of it, and whether its packages are there.

It reaches jobs by an environment variable. In a command or a specification, its change would train
finished cells again.
"""

from __future__ import annotations

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from pipeline.jobs.json_files import canonical
from pipeline.study.config.sections import Section
from pipeline.study.config.tracking import Tracking
from pipeline.study.config.yaml_files import ConfigError
from pipeline.study.outputs import MLFLOW, TRACKING
from pipeline.study.study import Study

VARIABLE = "SAGSAE_TRACKING"
CHECKOUT = Path(__file__).resolve().parents[3]


class Asked(Section):
    """The section, and the study that has it."""

    study: str
    folder: str
    """Where trackers keep what they are given no other folder for."""
    tracking: Tracking

    @classmethod
    def by(cls, study: Study) -> Asked | None:
        """What a study asks for; None if nothing."""
        tracking = study.run.tracking
        if tracking is None or not tracking.model_dump():
            return None
        folder = str(Path(study.path(TRACKING)).absolute())
        return cls(study=study.config.study, folder=folder, tracking=tracking)

    @property
    def trackers(self) -> list[str]:
        """Names of the trackers, as the section has them."""
        return list(self.tracking.model_dump())

    @property
    def mlflow_uri(self) -> str:
        """Where MLflow keeps its runs."""
        asked = self.tracking.mlflow
        database = f"sqlite:///{self.folder}/{MLFLOW}"
        return (asked and asked.uri) or os.environ.get("MLFLOW_TRACKING_URI") or database

    def missing(self) -> list[str]:
        """Trackers with a package that is not installed here. Nothing is imported."""
        needed = {name: [name] for name in self.trackers}
        if "mlflow" in needed and self.mlflow_uri.startswith("sqlite"):
            needed["mlflow"] += ["sqlalchemy", "alembic"]
        return [name for name, packages in needed.items() if not all(map(_is_there, packages))]


def _is_there(package: str) -> bool:
    """A folder of that name without code, such as W&B makes one, is no package."""
    found = find_spec(package)
    return found is not None and found.origin is not None


def advice(missing: list[str]) -> str:
    """What to do about trackers whose packages are not installed."""
    extras = f"{CHECKOUT}[{','.join(missing)}]"
    command = shlex.join([sys.executable, "-m", "pip", "install", "--editable", extras])
    return (
        f"section tracking asks for {', '.join(missing)}, and what that needs is not installed. "
        f"Install it:\n  {command}\nor take {' and '.join(missing)} out of the section."
    )


def pass_on(asked: Asked | None) -> None:
    """Let every job that is started from here know what is asked for.

    Raises:
        ConfigError: a package of a tracker is not installed.
    """
    os.environ.pop(VARIABLE, None)
    if asked is not None:
        if missing := asked.missing():
            raise ConfigError(advice(missing))
        os.environ[VARIABLE] = canonical(asked)


def passed_on() -> Asked | None:
    """What this job was told; None for nothing, or for what cannot be read."""
    text = os.environ.get(VARIABLE)
    try:
        return Asked.model_validate_json(text) if text else None
    except ValidationError:
        return None


def folder_of(asked: Asked, given: str, name: str) -> Path:
    """The folder of one tracker: the one that the section gives, or its own below ``folder``."""
    return Path(given) if given else Path(PurePosixPath(asked.folder) / name)
