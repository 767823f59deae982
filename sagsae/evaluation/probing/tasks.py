"""Which rows a probe is trained and tested on: balanced classes, whole documents apart."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sagsae.evaluation.probing.probes import Task
from sagsae.evaluation.probing.token_labels import NOT_COUNTED, Labelling


@dataclass(frozen=True)
class Sampling:
    """How rows are chosen.

    Attributes:
        train_rows, test_rows: rows of a label's task at most, half of them with the label.
        test_share: share of the documents that are tested on.
        least_rows: rows with the label that a task needs, in training and in test.
        seed: of the split of the documents, and of the choice of rows.
    """

    train_rows: int = 4000
    test_rows: int = 1000
    test_share: float = 0.2
    least_rows: int = 30
    seed: int = 0


def make_tasks(
    labellings: Iterable[Labelling], documents: np.ndarray, sampling: Sampling
) -> tuple[list[Task], list[str]]:
    """A task for each class: its rows against those that count and are not of it.

    All tasks share one split of the documents. What is chosen for a task hangs on its name and
    the seed, and on no other task.

    Args:
        labellings: labels [n] of all rows.
        documents: [n] document of each row.
        sampling: how rows are chosen.

    Returns:
        The tasks, and the names of the labels that have too few rows.
    """
    tested = _tested(documents, sampling)
    tasks, left_out = [], []
    for labelling in labellings:
        counted = labelling.classes != NOT_COUNTED
        for name, number in _classes(labelling):
            of_class = labelling.classes == number
            chosen = []
            for part, most in ((~tested, sampling.train_rows), (tested, sampling.test_rows)):
                rng = np.random.default_rng([sampling.seed, zlib.crc32(name.encode()), most])
                rows = [np.flatnonzero(counted & part & which) for which in (of_class, ~of_class)]
                size = min(most // 2, *map(len, rows))
                with_label, without = (rng.choice(own, size, replace=False) for own in rows)
                chosen.append((size, *_ordered(with_label, without)))
            if min(size for size, _, _ in chosen) < sampling.least_rows:
                left_out.append(name)
                continue
            (_, *train), (_, *test) = chosen
            tasks.append(Task(name, *train, *test))
    return tasks, left_out


def gathered(tasks: Iterable[Task]) -> tuple[Tensor, list[Task]]:
    """The rows that some tasks need, and the tasks by places among these.

    Returns:
        [m] int64 numbers of rows, ascending, and the tasks.
    """
    tasks = list(tasks)
    wanted = [part for task in tasks for part in (task.train, task.test)]
    rows = torch.unique(torch.cat(wanted)) if wanted else torch.zeros(0, dtype=torch.int64)
    return rows, [
        replace(
            task,
            train=torch.searchsorted(rows, task.train),
            test=torch.searchsorted(rows, task.test),
        )
        for task in tasks
    ]


def _tested(documents: np.ndarray, sampling: Sampling) -> np.ndarray:
    """[n] bool, whether the document of each row is one of those that are tested on."""
    known, which = np.unique(documents, return_inverse=True)
    order = np.random.default_rng(sampling.seed).permutation(len(known))
    tested = np.zeros(len(known), bool)
    tested[order[: round(sampling.test_share * len(known))]] = True
    return tested[which]


def _classes(labelling: Labelling) -> Iterator[tuple[str, int]]:
    """Name and number of the classes that are probed; the second of two says what the first does,
    where every row is of one of them."""
    exclusive = labelling.kind == "source" and len(labelling.names) == 2
    for number, name in enumerate(labelling.names[: 1 if exclusive else None]):
        yield f"{labelling.kind}.{name}", number


def _ordered(with_label: np.ndarray, without: np.ndarray) -> tuple[Tensor, Tensor]:
    """The rows in ascending order, and whether each has the label."""
    rows = np.concatenate([with_label, without])
    order = np.argsort(rows)
    labels = np.arange(len(rows)) < len(with_label)
    return torch.from_numpy(rows[order].astype(np.int64)), torch.from_numpy(labels[order])
