"""Training curves in W&B, TensorBoard and MLflow. Training never waits for a tracker.

Section ``tracking`` reaches jobs by an environment variable. In a command or a specification, its
change would train finished cells again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from pipeline.jobs.json_files import digest
from pipeline.jobs.progress import say
from pipeline.jobs.stage import locked
from pipeline.study.outputs import MLFLOW, TRACKING
from pipeline.study.sections import ConfigError
from pipeline.study.specs import TrainSpec
from pipeline.study.study import Study

VARIABLE = "SAGSAE_TRACKING"
# Seconds that a tracker has once a cell is done.
PATIENCE = 60.0
# What trackers are told of metrics.json.
MEASURED = ("r2", "l0", "dead_fraction", "loss_recovered", "bipolar_fraction")


class Training(NamedTuple):
    """One training of one cell, as trackers know it."""

    # Where trackers keep what lies on disk.
    folder: Path
    # Path of the cell.
    name: str
    # The same for every job that works on this training, and for no other training.
    key: str
    # Name of the study, and what the cell is trained by.
    config: dict[str, Any]


# An open run: yields the last step that earlier jobs sent, -1 for none; takes steps and values.
Run = Generator[int, tuple[int, Mapping[str, float]], None]


def _wandb(training: Training) -> Run:
    """A run that is resumed by its id. Offline, each job begins the curve anew."""
    import wandb

    known = wandb.api.api_key or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    if os.environ.get("WANDB_MODE", "online") == "online" and not known:
        raise ValueError("no key for W&B: set WANDB_API_KEY or run `wandb login`")
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or training.config["study"],
        id=training.key,
        name=training.name,
        config=training.config,
        dir=training.folder,
        resume="allow",
        settings=wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True),
    )
    last = run.step - 1 if run.resumed else -1
    try:
        while True:
            step, values = yield last
            run.log(dict(values), max(step, run.step))  # W&B takes no earlier step
    finally:
        run.finish()


def _tensorboard(training: Training) -> Run:
    """The curve from its beginning: TensorBoard drops what the folder has of earlier jobs."""
    from torch.utils.tensorboard import SummaryWriter

    folder = Path(training.folder, "tensorboard", training.name)
    with SummaryWriter(str(folder), purge_step=0, flush_secs=10) as writer:
        while True:
            step, values = yield -1
            for name, value in values.items():
                writer.add_scalar(name, value, step)


def _mlflow(training: Training) -> Run:
    """A run that is found again by its tag."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
    import mlflow

    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{training.folder}/{MLFLOW}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or training.config["study"])
    tag = f"tags.`sagsae.training` = '{training.key}'"
    runs = mlflow.search_runs(filter_string=tag, output_format="list")
    number, tags = runs[0].info.run_id if runs else None, {"sagsae.training": training.key}
    run = mlflow.start_run(number, run_name=training.name, tags=tags)
    mlflow.log_params(training.config)
    before, client = run.data.metrics, mlflow.MlflowClient()
    points = client.get_metric_history(run.info.run_id, "loss") if "loss" in before else []
    last = max((point.step for point in points), default=-1)
    try:
        while True:
            step, values = yield last
            new = {key: x for key, x in values.items() if step > last or before.get(key) != x}
            mlflow.log_metrics(new, step)
    finally:
        mlflow.end_run()


TRACKERS = {"wandb": _wandb, "tensorboard": _tensorboard, "mlflow": _mlflow}


def pass_on(study: Study) -> None:
    """Let every job that is started from here know which trackers a study asks for.

    Raises:
        ConfigError: the package of a tracker is not installed. Nothing is imported.
    """
    asked = study.run.tracking
    # A folder of that name without code, such as W&B makes one, has no origin.
    if missing := [name for name in asked if not getattr(find_spec(name), "origin", None)]:
        names = ",".join(missing)
        raise ConfigError(
            f"tracking asks for {names}, which is not installed: run "
            f"`python -m pip install --editable '.[{names}]'` or take it out"
        )
    folder = str(Path(study.path(TRACKING)).absolute())
    os.environ[VARIABLE] = json.dumps([asked, study.config.study, folder])


class Sender(Thread):
    """Sends what comes to one tracker, until None comes. A tracker that fails gets nothing more."""

    def __init__(self, tracker: str, training: Training) -> None:
        super().__init__(name=tracker, daemon=True)
        self.training, self.messages = training, SimpleQueue[Any]()

    def run(self) -> None:
        try:
            with locked(self.training.folder, self.name):  # two jobs may make database or run
                run = TRACKERS[self.name](self.training)
                last = next(run)
            for rows, heldout in iter(self.messages.get, None):
                for row in rows:
                    if row["step"] > last:
                        last = int(row["step"])
                        run.send((last, {name: row[name] for name in row if name != "step"}))
                if heldout:
                    run.send((last, heldout))
            run.close()
        except (Exception, SystemExit) as error:
            what = f"TRACKING BY {self.name.upper()} STOPPED at {self.training.name} ({error!r})"
            say(f"warning: {what}. Training goes on; curve.parquet has the curve. Mend the cause.")


@contextmanager
def tracked(spec: TrainSpec) -> Iterator[Callable[..., None]]:
    """Open the way to the trackers that this job was told of.

    A job that is stopped leaves its runs open; the job that continues it finds them.

    Yields:
        A function that tells rows of the curve, in order, and at the end the content of
        metrics.json. Rows that were told before may come again.
    """
    asked, study, folder = json.loads(os.environ.get(VARIABLE) or '[[], "", ""]')
    shown = {"study": study, **spec.model_dump()["cell"], "d_model": spec.d_model}
    key = digest({"study": study, "train": digest(spec)})
    training = Training(Path(folder), spec.cell.path, key, shown | spec.training.model_dump())
    senders = [Sender(name, training) for name in asked if spec.source is None]

    def tell(rows: Sequence[Mapping[str, float]], metrics: Mapping[str, Any] | None = None) -> None:
        told = {name: (metrics or {}).get(name) for name in MEASURED}
        heldout = {f"heldout/{name}": value for name, value in told.items() if value is not None}
        for sender in senders:
            if sender.ident is None:
                sender.start()
            sender.messages.put((rows, heldout))

    yield tell
    for sender in filter(Thread.is_alive, senders):
        sender.messages.put(None)
        sender.join(PATIENCE)
        if sender.is_alive():
            say(f"warning: TRACKING BY {sender.name.upper()} IS NOT COMPLETE: it does not answer.")
