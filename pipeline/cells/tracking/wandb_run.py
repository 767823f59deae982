"""Curves as runs of Weights & Biases."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import wandb

from pipeline.cells.tracking.trackers import Asked, Tracked, Tracker
from pipeline.study.outputs import WANDB_NOTE
from sagsae.files import write_atomic

# The variable that stands in for a key.
TOKEN = "WANDB_IDENTITY_TOKEN_FILE"


class WandbRun(Tracker):
    """A run that is kept offline cannot be asked what it has, so a file beside it says so."""

    def __init__(self, run: wandb.Run, note: Path):
        self._run, self._note = run, note
        self.last = run.step - 1 if run.resumed else -1
        with suppress(FileNotFoundError, ValueError, KeyError):
            self.last = max(self.last, int(json.loads(note.read_text())["last"]))

    def send(self, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=self.last)

    def keep(self) -> None:
        write_atomic(self._note, json.dumps({"last": self.last}).encode())

    def close(self, heldout: Mapping[str, float], done: bool) -> None:
        self._run.summary.update(dict(heldout))
        self._run.finish()
        self.keep()


def start(asked: Asked, cell: Tracked) -> WandbRun:
    """Open the run of a cell, or continue it; several may be open."""
    if os.environ.get("WANDB_MODE", "online") == "online" and not (
        wandb.api.api_key or os.environ.get(TOKEN)
    ):
        raise ValueError("no key for W&B: set WANDB_API_KEY or run `wandb login`")
    folder = Path(asked.folder, "wandb")
    folder.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(
        silent=True, console="off", disable_code=True, disable_git=True, x_disable_stats=True
    )
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or asked.study,
        id=cell.key,
        name=cell.name,
        group=cell.name.rpartition("/")[0],
        config=cell.config,
        dir=folder,
        resume="allow",
        reinit="create_new",
        settings=settings,
    )
    return WandbRun(run, folder / WANDB_NOTE.format(key=cell.key))
