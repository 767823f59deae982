"""Where training curves are shown while cells train."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.study.config.sections import FolderOrNone, Section, Words


class Wandb(Section):
    """Weights & Biases. Its environment variables hold: WANDB_API_KEY, WANDB_BASE_URL, others."""

    project: Words = ""
    """Empty: the study's name."""
    entity: Words = ""
    """User or team. Empty: your default one."""
    mode: Literal["online", "offline"] | None = None
    """offline: runs are kept on disk, and `wandb sync` uploads them. Absent: as WANDB_MODE says,
    else online."""
    folder: FolderOrNone = ""
    """Where runs are kept. Empty: `tracking/wandb` in the study's folder."""


class TensorBoard(Section):
    """TensorBoard: event files, one folder per cell."""

    folder: FolderOrNone = ""
    """What `tensorboard --logdir` is to show. Empty: `tracking/tensorboard` in the study's
    folder."""


class MLflow(Section):
    """MLflow. Its environment variables hold: those with a user's name and password, others."""

    uri: Words = ""
    """A server, such as https://my.server, or a database, such as sqlite:///mlflow.db. Empty: as
    MLFLOW_TRACKING_URI says, else the database `tracking/mlflow.db` in the study's folder."""
    experiment: Words = ""
    """Empty: the study's name."""


def _absent(section: Section | None) -> bool:
    return section is None


class Tracking(Section):
    """Trackers to which training curves go while cells train, and what is measured at the end. Each
    is off when absent, and its package is needed only where it is asked for. No cell is trained
    again because of this section."""

    wandb: Wandb | None = Field(default=None, exclude_if=_absent)
    """Weights & Biases; `pip install '.[wandb]'`."""
    tensorboard: TensorBoard | None = Field(default=None, exclude_if=_absent)
    """TensorBoard; `pip install '.[tensorboard]'`."""
    mlflow: MLflow | None = Field(default=None, exclude_if=_absent)
    """MLflow; `pip install '.[mlflow]'`."""
