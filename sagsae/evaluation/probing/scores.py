"""What can be read from an autoencoder's code: activations and labels in, scores out.

    rows, tasks = gathered(make_tasks(labellings, documents, Sampling())[0])
    x = activations[rows]
    baseline = probe_activations(x, tasks, ks=(1, 2, 5))
    scores = probe_autoencoder(autoencoder, x, tasks, (1, 2, 5), baseline)

Definitions: `sagsae.evaluation.probing.probes`, `sagsae.evaluation.probing.absorption`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.probing.absorption import LEAST_F1, Absorption, absorption
from sagsae.evaluation.probing.probes import (
    CodeProbes,
    DenseProbe,
    SideCodes,
    SparseProbe,
    Task,
    dense_probe,
    neuron_probe,
)

# Rows that are sent to a device at once.
ROWS = 8192
# Kinds of label whose absorption is measured, as in SAEBench.
ABSORBED = ("letter",)


@dataclass(frozen=True)
class Baseline:
    """Probes of one task on the activation.

    Attributes:
        dense: on the whole of it.
        neurons: on its best k coordinates, for each k.
    """

    dense: DenseProbe
    neurons: tuple[SparseProbe, ...]


@dataclass(frozen=True)
class TaskScores:
    """Probes of one task on a code.

    Attributes:
        probes: on the best k sides, for each k.
        latents: how many latents these sides belong to, for each k.
        absorption: None where it is not measured: the label is no first letter, or a probe on the
            whole activation does not find it.
    """

    probes: tuple[SparseProbe, ...]
    latents: tuple[int, ...]
    absorption: Absorption | None


@dataclass(frozen=True)
class CodeScores:
    """What was found of one autoencoder.

    Attributes:
        sides, latents: how many fire on some row.
        tasks: scores in the order of the tasks.
    """

    sides: int
    latents: int
    tasks: tuple[TaskScores, ...]


def probe_activations(
    x: Tensor,
    tasks: Iterable[Task],
    ks: Sequence[int],
    progress: Callable[[int], None] = lambda done: None,
) -> list[Baseline]:
    """The baselines of some tasks.

    Args:
        x: [n, d] activations, original units, on the CPU.
        tasks: whose rows are numbers of these.
        ks: numbers of coordinates.
        progress: called with the number of tasks done.
    """
    found = []
    for task in tasks:
        neurons = tuple(neuron_probe(x, task, k) for k in ks)
        found.append(Baseline(dense_probe(x, task), neurons))
        progress(len(found))
    return found


def probe_autoencoder(
    autoencoder: Autoencoder,
    x: Tensor,
    tasks: Sequence[Task],
    ks: Sequence[int],
    baselines: Sequence[Baseline],
    device: torch.device | str = "cpu",
) -> CodeScores:
    """Scores of one autoencoder; its code is computed once.

    Args:
        autoencoder: on the device.
        x: [n, d] activations, original units, on the CPU.
        tasks: whose rows are numbers of these.
        ks: numbers of sides.
        baselines: of the same tasks.
        device: where the code is computed.

    Raises:
        ValueError: not a baseline for each task.
    """
    codes = SideCodes.of(autoencoder, (rows.to(device) for rows in x.split(ROWS)))
    firings = codes.firings().view(2, -1)
    return CodeScores(
        sides=int((firings > 0).sum()),
        latents=int((firings.sum(0) > 0).sum()),
        tasks=tuple(
            _of_task(autoencoder, x, CodeProbes(codes, task), ks, baseline.dense)
            for task, baseline in zip(tasks, baselines, strict=True)
        ),
    )


def _of_task(
    autoencoder: Autoencoder, x: Tensor, probes: CodeProbes, ks: Sequence[int], dense: DenseProbe
) -> TaskScores:
    found = tuple(probes.best(k) for k in ks)
    latents = (len((one.features % autoencoder.width).unique()) for one in found)
    judged = probes.task.kind in ABSORBED and dense.score.f1 >= LEAST_F1
    absorbed = absorption(autoencoder, x, probes, dense) if judged else None
    return TaskScores(found, tuple(latents), absorbed)
