"""What trackers keep, read back by their own readers."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from pipeline.cells.tracking.mlflow_run import uri_of
from pipeline.cells.tracking.trackers import Asked

Points = dict[str, list[tuple[int, float]]]
"""Name -> (step, value), in the order in which they are kept."""
PATIENCE = 60.0
"""Seconds until W&B has written a run that is finished."""
BLOCK, HEADER = 32768, 7
"""Of the log format of LevelDB, in which W&B keeps the records of a run."""


def tensorboard_points(folder: Path) -> Points:
    """The scalars of one cell."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(point.step, point.value) for point in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def mlflow_points(asked: Asked, cell: str) -> Points:
    """The metrics of the one run of a cell."""
    client = MlflowClient(tracking_uri=uri_of(asked))
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = [run for run in client.search_runs(experiments) if run.info.run_name == cell]
    (run,) = runs
    return {
        name: [
            (point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)
        ]
        for name in run.data.metrics
    }


def wandb_records(file: Path) -> Iterator[Record]:
    """The records of one session, by W&B's own description of them."""
    content, at, parts = file.read_bytes(), HEADER, b""
    while at + HEADER <= len(content):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
        _, length, kind = struct.unpack_from("<IHB", content, at)
        if at + HEADER + length > len(content):
            return  # it is being written
        parts += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def wandb_sessions(folder: Path, name: str) -> list[list[Record]]:
    """The records of each session of a cell, the oldest first.

    W&B's own process may still write when a run is finished, so this waits for its last words.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        found = [list(wandb_records(file)) for file in sorted(folder.rglob("run-*.wandb"))]
        sessions = [session for session in found if name in _names(session)]
        if sessions and any(one.WhichOneof("record_type") == "exit" for one in sessions[-1]):
            return sessions
        assert time.monotonic() < deadline, f"no session of {name} that ended"
        time.sleep(0.05)


def _names(session: list[Record]) -> list[str]:
    return [one.run.display_name for one in session if one.WhichOneof("record_type") == "run"]


def wandb_points(folder: Path, name: str) -> Points:
    """The history of all sessions of a cell together, and what its summary says at the end."""
    points: Points = {}
    for session in wandb_sessions(folder, name):
        for record in session:
            kind = record.WhichOneof("record_type")
            if kind == "history":
                row = {
                    item.key or item.nested_key[0]: json.loads(item.value_json)
                    for item in record.history.item
                }
                for key, value in row.items():
                    if not key.startswith("_"):
                        points.setdefault(key, []).append((row["_step"], value))
            elif kind == "summary":
                for item in record.summary.update:
                    if item.key.startswith("heldout/"):
                        points[item.key] = [(-1, json.loads(item.value_json))]
    return points
