"""Probes: how well a label can be read from k sides of a code, and from the activation itself.

k-sparse probing as in SAEBench (arXiv 2503.09532; after arXiv 2305.01610): of all features the k
are taken whose mean differs most between the two classes of the training rows, and a logistic
regression on these k is tested on other rows. Here a feature is a side of a latent, see
`SideCodes`. The baselines are the same probe on k coordinates of the activation, and a probe on the
whole activation. Classes are balanced, so 0.5 is chance.

The regression is scikit-learn's ``LogisticRegression`` with C = 1 and a bias without a penalty. Its
minimum is unique, so neither a seed nor a number of steps decides what comes out.

Columns of a k-sparse probe are scaled to unit standard deviation over the training rows, and
activations to unit mean square distance from their mean: a penalty means little without a scale.
SAEBench leaves both as they are.

z > 0 and z < 0 of a latent are two sides, each a feature of one sign (`SideCodes`). Side ``i`` of H
latents is z_i > 0, side ``H + i`` is z_i < 0. Its value is the size of z where z has its sign, and
0 elsewhere. Its decoder row is that of the latent times its sign. So the sides of an autoencoder
with two signs are read like the latents of one that has one sign, whose negative sides never fire.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from scipy.sparse import csr_array, vstack
from torch import Tensor
from torch.nn.functional import pad

from sagsae.activations.cpu_products import threads_of_torch
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.metrics import rows_at_once


@dataclass(frozen=True)
class SideCodes:
    """The sides that fire on each of n rows.

    Attributes:
        values: [n, 2 H] float64, sparse; above 0 where a side fires.
    """

    values: csr_array

    @classmethod
    def of(cls, autoencoder: Autoencoder, batches: Iterable[Tensor]) -> SideCodes:
        """Encode rows, on a CPU with one thread, so that no bit hangs on the number of cores.

        Args:
            autoencoder: on the device of the batches.
            batches: [B, d] activations in original units.
        """
        parts, width = [], autoencoder.width
        with torch.inference_mode(), threads_of_torch(1):
            for x in batches:
                for rows in x.split(rows_at_once(x.device, width)):
                    z = autoencoder.code(rows.float() * autoencoder.scale)
                    row, latent = z.nonzero(as_tuple=True)
                    value = z[row, latent].double()
                    side = latent + width * (value < 0)
                    starts = pad(torch.bincount(row, minlength=len(z)).cumsum(0), (1, 0))
                    entries = (part.cpu().numpy() for part in (value.abs(), side, starts))
                    parts.append(csr_array(tuple(entries), shape=(len(z), 2 * width)))
        return cls(vstack(parts, "csr"))

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def take(self, rows: Tensor) -> SideCodes:
        """The codes of some rows [m], in the given order."""
        return SideCodes(self.values[rows.numpy()])

    def mean(self) -> Tensor:
        """[2 H] float64, mean value of each side over the rows."""
        return torch.from_numpy(self.values.sum(axis=0)) / len(self)

    def firings(self) -> Tensor:
        """[2 H] int64, rows on which each side fires."""
        return torch.from_numpy(self.values.count_nonzero(axis=0)).long()

    def columns(self, sides: Tensor) -> Tensor:
        """[n, k] float64, the values of some sides [k] on all rows."""
        return torch.from_numpy(self.values[:, sides.numpy()].toarray())


def decoder_of_sides(decoder: Tensor) -> Tensor:
    """[2 H, d] decoder rows of the sides, from those [H, d] of the latents."""
    return torch.cat([decoder, -decoder])


# Largest entry of the gradient of the mean loss at which a fit ends.
GRADIENT = 1e-9


@dataclass(frozen=True)
class Task:
    """Rows of one label and of the others, as many of either, for training and for the test.

    Attributes:
        name: such as ``letter.a``.
        train, test: [n] int64, numbers of rows. No document has rows in both.
        train_labels, test_labels: [n] bool, whether the row has the label.
    """

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor

    @property
    def kind(self) -> str:
        """What the name begins with: letter, digit, word or source."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Score:
    """How a classifier does on the test rows of a task.

    Attributes:
        accuracy: share of the rows that it has right.
        f1: harmonic mean of precision and recall; 0 where nothing is found.
    """

    accuracy: float
    f1: float

    @classmethod
    def of(cls, found: Tensor, labels: Tensor) -> Score:
        """The score of rows [n] bool that were found, whose labels are [n] bool."""
        both = int((found & labels).sum())
        total = int(found.sum() + labels.sum())
        return cls(int((found == labels).sum()) / len(labels), 2 * both / total if total else 0.0)


@dataclass(frozen=True)
class Line:
    """A linear classifier: a row is of the class where its score is above 0.

    Attributes:
        weight: [p] float64.
        bias: a number.
    """

    weight: Tensor
    bias: float

    @classmethod
    def fit(cls, x: Tensor, labels: Tensor) -> Line:
        """By logistic regression, on one thread.

        Args:
            x: [n, p], finite.
            labels: [n] bool.

        Raises:
            ValueError: one class alone, or shapes that do not fit.
        """
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            found = LogisticRegression(tol=GRADIENT, max_iter=10_000)
            found.fit(x.double().numpy(), labels.numpy())
        return cls(torch.from_numpy(found.coef_[0]), float(found.intercept_[0]))

    def scores(self, x: Tensor) -> Tensor:
        """[n] float64 of rows [n, p]."""
        return x.double() @ self.weight + self.bias


@dataclass(frozen=True)
class DenseProbe:
    """A probe on whole activations.

    Attributes:
        line: for raw activations.
        score: on the test rows.
    """

    line: Line
    score: Score


@dataclass(frozen=True)
class SparseProbe:
    """A probe on k features.

    Attributes:
        features: [k] int64, the one whose mean differs most first. Fewer than were asked for where
            fewer differ at all.
        score: on the test rows.
    """

    features: Tensor
    score: Score


def dense_probe(x: Tensor, task: Task) -> DenseProbe:
    """A probe on activations x [n, d] of all rows, in original units."""
    rows = x[task.train].double()
    with threads_of_torch(1):
        mean = rows.mean(0)
        scale = (rows - mean).square().sum(1).mean().rsqrt()
        found = Line.fit((rows - mean) * scale, task.train_labels)
        weight = found.weight * scale
        line = Line(weight, found.bias - float(mean @ weight))
        return DenseProbe(line, Score.of(line.scores(x[task.test]) > 0, task.test_labels))


def neuron_probe(x: Tensor, task: Task, k: int) -> SparseProbe:
    """A probe on k coordinates of activations x [n, d]."""
    rows, labels = x[task.train].double(), task.train_labels
    with threads_of_torch(1):
        features = most_different(rows[labels].mean(0) - rows[~labels].mean(0), k)
        columns = rows[:, features], x[task.test][:, features].double()
        return SparseProbe(features, probe_columns(*columns, task))


class CodeProbes:
    """The k-sparse probes of one code on one task.

    Args:
        codes: of all rows.
        task: whose rows are numbers of these.
    """

    def __init__(self, codes: SideCodes, task: Task):
        self.task = task
        self.train, self.test = codes.take(task.train), codes.take(task.test)
        labels = task.train_labels.nonzero().flatten(), (~task.train_labels).nonzero().flatten()
        positive, negative = (self.train.take(rows).mean() for rows in labels)
        # [2 H] float64, mean of each side with the label minus that without it.
        self.difference = positive - negative

    def of(self, features: Tensor) -> SparseProbe:
        """The probe on some sides [k]."""
        columns = self.train.columns(features), self.test.columns(features)
        return SparseProbe(features, probe_columns(*columns, self.task))

    def best(self, k: int) -> SparseProbe:
        """The probe on the k sides whose means differ most, in either sense."""
        return self.of(most_different(self.difference, k))


def most_different(difference: Tensor, k: int) -> Tensor:
    """The k features [k] whose means differ most, those of equal difference by their number.

    Args:
        difference: [p] float64 difference of means; features without one are left out.
    """
    size = difference.abs()
    order = torch.sort(size, descending=True, stable=True).indices[:k]
    return order[size[order] > 0]


def probe_columns(train: Tensor, test: Tensor, task: Task) -> Score:
    """The score of a probe on columns of the training rows [n, k] and the test rows [m, k]."""
    with threads_of_torch(1):
        if not train.shape[1]:
            found = torch.zeros(len(test), dtype=torch.bool)
        else:
            spread = train.std(0, correction=0)
            spread = spread.where(spread > 0, 1.0)
            found = Line.fit(train / spread, task.train_labels).scores(test / spread) > 0
    return Score.of(found, task.test_labels)
