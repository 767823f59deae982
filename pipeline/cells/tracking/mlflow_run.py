"""Curves as runs of MLflow, each found again by a tag."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

from pipeline.cells.tracking.trackers import Asked, Tracked, Tracker
from pipeline.jobs.stage import locked
from pipeline.study.outputs import MLFLOW

TAG = "sagsae.training"
# Characters of a parameter.
LONGEST = 500


class MlflowRun(Tracker):
    def __init__(self, client: MlflowClient, run: Run):
        self._client, self._id, self.before = client, run.info.run_id, run.data.metrics
        points = client.get_metric_history(self._id, "loss") if "loss" in self.before else []
        self.last = max((point.step for point in points), default=-1)

    def keep(self) -> None:
        """Nothing is left to do: each batch is in the database."""

    def close(self, heldout: Mapping[str, float], done: bool) -> None:
        self.send(heldout)
        if done:
            self._client.set_terminated(self._id)

    def send(self, values: Mapping[str, float]) -> None:
        now, step = round(time.time() * 1000), max(self.last, 0)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)


def uri_of(asked: Asked) -> str:
    """Where MLflow keeps its runs."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{asked.folder}/{MLFLOW}"


def start(asked: Asked, cell: Tracked) -> MlflowRun:
    """Find the run of a cell, or make it."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = uri_of(asked)
    with locked(Path(asked.folder), "mlflow"):  # two jobs may make the database or a run at once
        client = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or asked.study
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name)
        runs = client.search_runs([experiment], f"tags.`{TAG}` = '{cell.key}'", max_results=1)
        return MlflowRun(client, runs[0] if runs else _made(client, experiment, cell))


def _made(client: MlflowClient, experiment: str, cell: Tracked) -> Run:
    run = client.create_run(experiment, run_name=cell.name, tags={TAG: cell.key})
    params = [Param(name, str(value)[:LONGEST]) for name, value in cell.config.items()]
    client.log_batch(run.info.run_id, params=params)
    return run
