"""What an autoencoder is trained on: a hookpoint of a store, a tensor, or batches of any kind.

A transcoder is trained on pairs. Their rows hold what is read and what is predicted one beside the
other, so that all that shuffles, saves and restores rows knows nothing of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import chain, cycle
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from sagsae.activations.store import Store
from sagsae.activations.stream import ActivationStream, beside, iterate
from sagsae.files import differences, digest

# Rows that stand for all where not all can be looked at, as in arXiv 2406.04093.
FIRST_ROWS = 32_768
# Rows in memory, one in so many, whose digest tells them from others.
SAMPLE = 256


class Stream(Protocol):
    """Endless shuffled batches of rows whose position can be saved and restored."""

    @property
    def wait_seconds(self) -> float: ...
    def __next__(self) -> Tensor: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


class Predicted(NamedTuple):
    """Mean [d_out] float64 of what is predicted, and 1 / sqrt(mean |y|^2)."""

    mean: np.ndarray
    scale: float


@dataclass(frozen=True, kw_only=True)
class TrainingRows:
    """Rows of activations, and what an autoencoder has to know of them before it is trained.

    Attributes:
        count: How many there are; None if nobody knows.
        mean: [d] float64.
        scale: 1 / sqrt(mean |x|^2).
        target: The same two of what is predicted, if that is not what is read.
        first: Makes [n, d] float32, the first rows; of pairs [n, d + d_out].
        stream: Opens shuffled batches for a batch size, a seed, ``group_chunks`` that are shuffled
            together, and a ``device``.
        origin: JSON values that say where they come from.
    """

    count: int | None
    mean: np.ndarray
    scale: float
    target: Predicted | None = None
    first: Callable[[], Tensor]
    stream: Callable[..., AbstractContextManager[Stream]]
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def d(self) -> int:
        """Width of the activations."""
        return len(self.mean)


# Rows of one hookpoint [n, d], or what is read and what is predicted of the same tokens.
Rows = Tensor | tuple[Tensor, Tensor]


def rows_of(
    data: Store | Rows | Iterable[Rows], hookpoint: str = "", target: str = ""
) -> TrainingRows:
    """The rows of some data.

    Args:
        data: A store; or [T, d], rows in memory, which are shuffled anew in every epoch; or batches
            [n, d] of any sizes, in the order in which they come, of which each row is used once.
            For a transcoder, pairs (x, y) in the place of rows in memory or of batches: a tuple
            is a pair, a list is batches.
        hookpoint: Of a store; may be left out where the store has one alone. Of other rows, where
            they come from, for `origin`.
        target: The same of what a transcoder predicts.

    Raises:
        KeyError: the store has no such hookpoint.
        ValueError: several hookpoints and no name, rows that are no matrix or of unequal number, or
            no rows; or a target of rows that are no pairs.
    """
    if isinstance(data, Store):
        return _of_store(data, hookpoint, target)
    match data:
        case Tensor() | tuple((Tensor(), Tensor())):
            rows = _of_tensor(*_checked(data))
        case _:
            rows = _of_batches(map(_checked, data))
    if target and rows.target is None:
        raise ValueError(f"target {target!r}: give pairs (x, y), these rows are of one hookpoint")
    named = {"hookpoint": hookpoint, "target": target}
    return replace(rows, origin={end: name for end, name in named.items() if name})


def batches_of(
    data: Store | Rows | Iterable[Rows], batch_size: int, hookpoint: str = "", target: str = ""
) -> Iterator[Tensor]:
    """Each row of some data once, in order, at most ``batch_size`` [n, d] at once; of pairs what is
    predicted beside what is read. Arguments and errors as of `rows_of`."""
    match data:
        case Store():
            yield from iterate(data, _named(data, hookpoint), batch_size, target)
        case Tensor() | tuple((Tensor(), Tensor())):
            yield from _checked(data)[0].split(batch_size)
        case _:
            for rows in data:
                yield from _checked(rows)[0].split(batch_size)


def _named(store: Store, hookpoint: str) -> str:
    """The hookpoint, or the store's only one."""
    names = list(store.config.hookpoints)
    if not hookpoint and len(names) > 1:
        raise ValueError(f"{store.storage} has the hookpoints {', '.join(names)}: name one")
    return hookpoint or names[0]


def _of_store(store: Store, hookpoint: str, target: str) -> TrainingRows:
    hookpoint = _named(store, hookpoint)
    found = store.statistics(hookpoint)
    predicted = store.statistics(target) if target else None
    known = {name: store.config.provenance.get(name) for name in ("model", "layer")}
    return TrainingRows(
        count=store.n_rows,
        mean=found.mean,
        scale=found.scale,
        target=Predicted(predicted.mean, predicted.scale) if predicted else None,
        first=lambda: _first(iterate(store, hookpoint, 4096, target))[:FIRST_ROWS].float(),
        stream=partial(ActivationStream, store, hookpoint, target=target),
        origin={
            **known,
            "hookpoint": hookpoint,
            **({"target": target} if target else {}),
            "store": store.config.digest(),
        },
    )


def _of_tensor(rows: Tensor, d: int) -> TrainingRows:
    def stream(batch_size: int, seed: int, *, device: torch.device | str, **_: Any) -> Any:
        return nullcontext(TensorStream(rows.to(device), batch_size, seed))

    return TrainingRows(
        count=len(rows),
        **_moments(rows, d),
        first=lambda: rows[:FIRST_ROWS].float().cpu(),
        stream=stream,
    )


def _of_batches(checked: Iterator[tuple[Tensor, int]]) -> TrainingRows:
    beginning = next(checked, None)
    if beginning is None:
        raise ValueError("there are no rows to train on")
    batches, d = (rows for rows, _ in chain([beginning], checked)), beginning[1]
    first = _first(batches)

    def stream(batch_size: int, seed: int, **_: Any) -> Any:
        return nullcontext(BatchStream(first, batches, batch_size))

    return TrainingRows(
        count=None, **_moments(first, d), first=lambda: first.float().cpu(), stream=stream
    )


class TensorStream:
    """Endless shuffled batches of rows in memory. Each epoch has each row once.

    Args:
        rows: [T, d].
        batch_size: Rows of every batch; one may span epochs.
        seed: Of the order.
    """

    wait_seconds = 0.0

    def __init__(self, rows: Tensor, batch_size: int, seed: int) -> None:
        self._rows, self._size, self._seed, self._read = rows, batch_size, seed, 0
        self._order = lru_cache(maxsize=1)(self._permutation)  # by epoch
        some = rows[:: max(1, len(rows) // SAMPLE)].cpu().contiguous()
        self._digest = digest(some.view(torch.uint8).numpy().tobytes())

    def __next__(self) -> Tensor:
        epochs, places = np.divmod(np.arange(self._read, self._read + self._size), len(self._rows))
        order = [self._order(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs)]
        self._read += self._size
        return self._rows[torch.from_numpy(np.concatenate(order)).to(self._rows.device)]

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._rows))

    def state(self) -> dict[str, Any]:
        own = {"rows": len(self._rows), "seed": self._seed, "sha256": self._digest}
        return {"read": self._read, **own}

    def load_state(self, state: dict[str, Any]) -> None:
        if differ := differences(state, self.state() | {"read": state.get("read")}):
            raise ValueError(differ)
        self._read = state["read"]


class BatchStream:
    """Batches of one size from batches of any sizes, in their order.

    It can only begin anew, and then with the first rows alone, again and again: what followed them
    is gone.

    Args:
        first: [n, d], rows that were read already.
        others: The batches after them.
        batch_size: Rows of every batch.
    """

    wait_seconds = 0.0

    def __init__(self, first: Tensor, others: Iterator[Tensor], batch_size: int) -> None:
        self._first, self._size = first, batch_size
        self._waiting: list[Tensor] = []
        self._batches: Iterator[Tensor] = chain([first], others)

    def __next__(self) -> Tensor:
        held = sum(len(rows) for rows in self._waiting)
        while held < self._size:
            batch = next(self._batches, None)
            if batch is None:
                raise ValueError(
                    f"the batches ended {self._size - held} rows before the end of the training: "
                    "give more of them, or fewer tokens"
                )
            self._waiting.append(batch)
            held += len(batch)
        rows = torch.cat(self._waiting)
        self._waiting = [rows[self._size :]]
        return rows[: self._size]

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        self._waiting, self._batches = [], cycle([self._first])


def _checked(rows: Rows) -> tuple[Tensor, int]:
    """Rows as one matrix, and the width of what is read."""
    parts = list(rows) if isinstance(rows, tuple) else [rows]
    for part in parts:
        if part.ndim != 2:
            raise ValueError(f"activations of shape {tuple(part.shape)}: flatten them to [rows, d]")
    if len({len(part) for part in parts}) > 1:
        raise ValueError(f"{' and '.join(str(len(part)) for part in parts)} rows make no pairs")
    return beside([part.detach() for part in parts]), parts[0].shape[1]


def _first(batches: Iterable[Tensor]) -> Tensor:
    """The first batches together, with `FIRST_ROWS` rows or as many as there are."""
    parts, held = list[Tensor](), 0
    for batch in batches:
        parts.append(batch)
        held += len(batch)
        if held >= FIRST_ROWS:
            break
    return torch.cat(parts) if parts else torch.empty(0, 1)


def _moments(rows: Tensor, d: int) -> dict[str, Any]:
    """Those of the first d columns, and of the others as those of a target."""
    target = _moments_of(rows[:, d:]) if d < rows.shape[1] else None
    return {**_moments_of(rows[:, :d])._asdict(), "target": target}


def _moments_of(rows: Tensor) -> Predicted:
    if not len(rows):
        raise ValueError("there are no rows to train on")
    parts = rows.split(8192)
    mean = torch.stack([part.double().sum(0) for part in parts]).sum(0) / len(rows)
    square = sum(float(part.double().square().sum()) for part in parts) / len(rows)
    if not square > 0:
        raise ValueError("the activations are all zero, or not finite")
    return Predicted(mean.cpu().numpy(), square**-0.5)


STEPS, TOLERANCE = 100, 1e-5


def geometric_median(points: Tensor) -> Tensor:
    """The point whose distances to some points [n, d] have the least sum, [d].

    The decoder's bias may start there (arXiv 2406.04093). By Weiszfeld's iteration from their mean,
    until it moves less than 1e-5 of their spread.
    """
    found = points.mean(0)
    spread = float((points - found).norm(dim=1).mean())
    for _ in range(STEPS):
        distances = (points - found).norm(dim=1).clamp_min(spread * 1e-9 + 1e-30)
        weights = 1 / distances
        after = (weights / weights.sum()) @ points
        moved = float((after - found).norm())
        found = after
        if moved <= TOLERANCE * spread:
            break
    return found
