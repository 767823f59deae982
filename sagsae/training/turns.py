"""Several trainers on one stream of batches, a step each in turn.

Each trainer gets every batch of the stream in order, so it comes to the weights that it would come
to alone, and a batch is read once for all of them.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from sagsae.memory import needs_memory

if TYPE_CHECKING:
    from sagsae.training.trainer import Trainer


class Interrupted(RuntimeError):
    """The run was asked to stop; the message says at which step, and what is kept."""


class Stream(Protocol):
    """Endless shuffled batches [B, d] whose position can be saved and restored."""

    @property
    def wait_seconds(self) -> float: ...
    def __next__(self) -> Tensor: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


class Turns:
    """A stream that gives the same batch until ``turn`` is called.

    Args:
        source: Where batches come from. Nobody else may read it.
    """

    def __init__(self, source: Stream):
        self._source = source
        self._batch: Tensor | None = None

    def turn(self) -> None:
        """Go on to the next batch."""
        self._batch = next(self._source)

    def __next__(self) -> Tensor:
        assert self._batch is not None, "no turn was made yet"
        # A float32 batch is scaled where it lies; others are copied when they are cast.
        return self._batch.clone() if self._batch.dtype == torch.float32 else self._batch

    @property
    def wait_seconds(self) -> float:
        return self._source.wait_seconds

    def state(self) -> dict[str, Any]:
        return self._source.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self._source.load_state(state)


def next_batch(stream: Stream) -> Tensor:
    """The next batch for one alone, also of a stream that several share."""
    if isinstance(stream, Turns):
        stream.turn()
    return next(stream)


def train_in_turn(
    trainers: dict[str, Trainer],
    checkpoints: Mapping[str, Path] | None = None,
    every_seconds: float = 300.0,
) -> dict[str, Exception]:
    """Train all to their ends, continuing each from its checkpoint if there is one.

    Those that are ahead of the others wait for them. Each one's ``history.seconds`` is its share of
    the wall time, and so is the time that it waited for data: they add up to those of the whole.

    Args:
        trainers: By name. Several share one `Turns` as their stream. Those that fail are removed.
        checkpoints: By the same names, where to keep the state.
        every_seconds: Wall time between two checkpoints.

    Returns:
        What ended those that failed: a loss that is not finite, or an error of their own code. The
        others went on.

    Raises:
        Interrupted: one had ``stop_requested`` set. The states of all are kept.
        OSError: a batch could not be read, or a state could not be written.
    """
    checkpoints = checkpoints or {}
    failed: dict[str, Exception] = {}
    stream, begin = _start(trainers, checkpoints)
    waited, last = stream.wait_seconds, time.monotonic()
    saved = last
    while due := _due(trainers):
        if isinstance(stream, Turns):
            stream.turn()
        for name in due:
            with apart(name, trainers, failed), needs_memory("a training step"):
                trainers[name]._advance()
        now, wait = time.monotonic(), stream.wait_seconds
        going = {name: trainers[name] for name in due if name in trainers}
        for trainer in going.values():
            trainer.history.seconds += (now - last) / len(going)
            trainer.history.data_wait_seconds += (wait - waited) / len(going)
        waited, last = wait, now
        stopped = any(trainer.stop_requested for trainer in trainers.values())
        if now - saved > every_seconds or stopped:
            _save(going, checkpoints, trainers, failed)
            saved = time.monotonic()
        if stopped and going:
            raise _interruption(going, checkpoints)
    for name in list(trainers):
        with apart(name, trainers, failed):
            trainers[name]._finish(begin)
    return failed


def _start(
    trainers: Mapping[str, Trainer], checkpoints: Mapping[str, Path]
) -> tuple[Stream, dict[str, Any]]:
    """Restore each from its checkpoint; the stream, where the one that is least far begins, and
    the position that it had."""
    streams = {id(trainer.stream): trainer.stream for trainer in trainers.values()}
    if len(streams) != 1:
        raise ValueError(f"{len(trainers)} trainers have {len(streams)} streams: give them one")
    (stream,) = streams.values()
    if len(trainers) > 1 and not isinstance(stream, Turns):
        raise ValueError("several trainers take the batches of one stream: give them its Turns")
    begin = stream.state()
    positions = {}
    for name, trainer in trainers.items():
        restored = name in checkpoints and trainer._resume(checkpoints[name])
        positions[name] = stream.state() if restored else begin
    going = [name for name, trainer in trainers.items() if not trainer.ended] or list(trainers)
    earliest = positions[min(going, key=lambda name: trainers[name].step)]
    if stream.state() != earliest:
        stream.load_state(earliest)
    return stream, begin


def _due(trainers: Mapping[str, Trainer]) -> list[str]:
    """Those whose next step takes the stream's next batch."""
    steps = {name: one.step for name, one in trainers.items() if not one.ended}
    return [name for name, step in steps.items() if step == min(steps.values())]


@contextmanager
def apart(name: str, trainers: dict[str, Trainer], failed: dict[str, Exception]) -> Iterator[None]:
    """Note an error of one, and drop it with all the memory that it holds; the others go on."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if len(trainers) > 1:  # the others go on, and need the memory of its frames
            traceback.clear_frames(error.__traceback__)
        failed[name] = error
        trainers.pop(name, None)


def _save(
    going: Iterable[str],
    checkpoints: Mapping[str, Path],
    trainers: dict[str, Trainer],
    failed: dict[str, Exception],
) -> None:
    for name in going:
        if name in checkpoints:
            with apart(name, trainers, failed):
                trainers[name]._save(checkpoints[name])


def _interruption(going: Mapping[str, Trainer], checkpoints: Mapping[str, Path]) -> Interrupted:
    name, trainer = next(iter(going.items()))
    kept = f"; {checkpoints[name]} continues there" if name in checkpoints else ""
    return Interrupted(f"stopped after step {trainer.step} of {trainer.recipe.steps}{kept}")
