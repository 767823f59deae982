"""Rows whose features are known: the generator of SynthSAEBench (arXiv 2602.14687), and opposites.

A row is ``sum_i a_i d_i + b`` over the features that fire in it. Which do is drawn in steps:

1. Feature i fires where ``F_i . eps + sqrt(1 - |F_i|^2) eta_i`` exceeds its threshold, with normal
   eps [rank] and eta_i: its rate is p_i, and features with like F_i fire together.
2. Its size is ``ReLU(mu_i + sigma_i xi)``.
3. Level by level, a child is silent without its parent and grows with it, by ``a / mu`` of the
   parent; then one of the children of a parent that still fire stays, at random.
4. One of two opposite features that both fire stays, at random.

Rates fall with the rank r of a feature: from `MOST_OFTEN` to `LEAST_OFTEN` as r^-1/2. Those of
children are raised, so that their rates after the steps are about these.

Rows come in blocks that are a function of seed, number and size alone. So a stream of them is read
from any point, and need not be stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from sagsae.autoencoders.dictionary import sparse_product

# Rows that are drawn together if nothing else is said.
BLOCK = 1024
MOST_OFTEN, LEAST_OFTEN = 0.4, 5e-4
# Children of a feature, and levels below the roots.
BRANCHES, DEPTH = 4, 3
# Sizes: mu by rank, and mean and deviation of the normal whose absolute value is sigma.
LARGEST, SMALLEST, SPREAD = 5.0, 4.0, 0.5
BIAS = 0.5
# Of the correlations; most that the normal variable of a feature may share with others.
RANK, LOADING, MOST_SHARED = 25, 0.1, 0.99
# Steps by which directions are turned away from each other, and their learning rate.
STEPS, RATE = 100, 3e-4


class Drawn(NamedTuple):
    """A block of rows.

    Attributes:
        x: [rows, d] float32.
        sizes: [rows, N] float32, how strongly each feature fires; zero where it does not. Negative
            sizes are of signed features.
    """

    x: Tensor
    sizes: Tensor


@dataclass(frozen=True, kw_only=True)
class KnownFeatures:
    """See the head of this module.

    Attributes:
        directions: [N, d] float32 unit rows.
        bias: [d].
        thresholds: [N] of the normal variable above which a feature fires.
        loadings: [N, rank], F; empty for features that fire independently.
        mu, sigma: [N], sizes.
        roots: How many of the first features are roots of a hierarchy; 0 for none.
        partner: [N] int64, the opposite of a feature; -1 for none.
        signed: Whether a feature fires with either sign, with equal probability.
    """

    directions: Tensor
    bias: Tensor
    thresholds: Tensor
    loadings: Tensor
    mu: Tensor
    sigma: Tensor
    roots: int = 0
    partner: Tensor
    signed: bool = False

    @classmethod
    def make(
        cls,
        features: int,
        d: int,
        seed: int,
        *,
        roots: int = 0,
        rank: int = RANK,
        opposites: float = 0.0,
        signed: bool = False,
    ) -> Self:
        """Draw what the rows are made of.

        Args:
            features: N, at least 2.
            d: Width of the rows.
            seed: Of directions, sizes, correlations and pairs; rows have one of their own.
            roots: Roots of the hierarchy: each has `BRANCHES` children, `DEPTH` times.
                SynthSAEBench has 128, of 16,384 features.
            rank: Of the correlations; 0 for none.
            opposites: Share of the features that have an opposite, from 0 to 1, at ranks that are
                drawn; of an odd number one feature at least has none.
            signed: See the class.

        Raises:
            ValueError: fewer than 2 features, a share out of its range, a hierarchy of more
                features than there are, or opposites in it.
        """
        if features < 2 or not 0 <= opposites <= 1:
            raise ValueError(
                f"{features} features, a share of {opposites:g} of which have an opposite: give 2 "
                "or more, and a share from 0 to 1"
            )
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        inside = roots * sum(BRANCHES**level for level in range(DEPTH + 1))
        if inside > features or (roots and opposites):
            raise ValueError(
                f"{roots} roots make a hierarchy of {inside} of {features} features; give fewer "
                "roots, and opposites to features without a hierarchy alone"
            )
        partner = torch.full((features,), -1)
        pairs = min(round(opposites * features / 2), features // 2)
        first, second = torch.randperm(features, generator=generator)[: 2 * pairs].view(2, -1)
        partner[first], partner[second] = second, first
        directions = spread(normal(features, d))
        directions[second] = -directions[first]
        bias = normal(d)
        share = torch.linspace(0, 1, features)
        loadings = LOADING * normal(features, rank)
        shared = loadings.square().sum(1, keepdim=True).clamp_min(MOST_SHARED)
        loadings *= (MOST_SHARED / shared).sqrt()
        return cls(
            directions=directions,
            bias=bias * (BIAS / bias.norm()),
            thresholds=math.sqrt(2) * torch.erfinv(1 - 2 * drawn_rates(features, roots)),
            loadings=loadings,
            mu=LARGEST + (SMALLEST - LARGEST) * share,
            sigma=(SPREAD + SPREAD * normal(features)).abs(),
            roots=roots,
            partner=partner,
            signed=signed,
        )

    def to_bytes(self) -> bytes:
        """All of it, in the format of safetensors."""
        return save({name: torch.as_tensor(value) for name, value in vars(self).items()})

    @classmethod
    def of_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` gave; raises ValueError or SafetensorError for anything else."""
        read: dict[str, Any] = load(content)
        if missing := {field.name for field in fields(cls)} ^ read.keys():
            raise ValueError(f"no known features: {', '.join(sorted(missing))}")
        return cls(**read | {name: read[name].item() for name in ("roots", "signed")})

    @property
    def d(self) -> int:
        """Width of the rows."""
        return self.directions.shape[1]

    def block(self, seed: int, number: int, rows: int = BLOCK) -> Drawn:
        """A block of some rows: the same for the same seed, number and rows."""
        rng = np.random.default_rng([seed, number])
        count, rank = self.loadings.shape

        def normal(*shape: int) -> Tensor:
            return torch.from_numpy(rng.standard_normal(shape, np.float32))

        def uniform(shape: torch.Size) -> Tensor:
            return torch.from_numpy(rng.random(tuple(shape), np.float32))

        rest = (1 - self.loadings.square().sum(1)).sqrt()
        fires = normal(rows, rank) @ self.loadings.T + normal(rows, count) * rest
        row, feature = (fires > self.thresholds).nonzero(as_tuple=True)
        sizes = torch.zeros(rows, count)
        drawn = self.mu[feature] + self.sigma[feature] * normal(len(feature))
        sizes[row, feature] = drawn.relu_()
        for parents, children in levels(self.roots):
            grown = (sizes[:, parents] / self.mu[parents]).repeat_interleave(BRANCHES, 1)
            of_parents = (sizes[:, children] * grown).unflatten(1, (-1, BRANCHES))
            chosen = uniform(of_parents.shape) * (of_parents > 0)
            stays = chosen == chosen.amax(2, keepdim=True)
            sizes[:, children] = (of_parents * stays).flatten(1)
        paired = (self.partner >= 0).nonzero()[:, 0]
        first = paired[self.partner[paired] > paired]
        second = self.partner[first]
        both = (sizes[:, first] > 0) & (sizes[:, second] > 0)
        heads = uniform(both.shape) < 0.5
        sizes[:, first] *= ~(both & heads)
        sizes[:, second] *= ~(both & ~heads)
        if self.signed:
            sizes *= 1 - 2 * (uniform(sizes.shape) < 0.5)
        return Drawn(sparse_product(sizes, self.directions) + self.bias, sizes)


def levels(roots: int) -> list[tuple[slice, slice]]:
    """Parents and children of each level, breadth first: those of a parent stand together."""
    found, start, count = [], 0, roots
    for _ in range(DEPTH if roots else 0):
        parents = slice(start, start + count)
        start, count = start + count, count * BRANCHES
        found.append((parents, slice(start, start + count)))
    return found


def rates(features: int) -> Tensor:
    """[N] float64, how often each feature is to fire, by rank."""
    fall = torch.arange(1, features + 1, dtype=torch.float64).rsqrt()
    last = fall[-1]
    return LEAST_OFTEN + (MOST_OFTEN - LEAST_OFTEN) * (fall - last) / (1 - last)


def drawn_rates(features: int, roots: int) -> Tensor:
    """[N] float64, how often each is drawn: children more often than they are to fire, as parents
    and siblings silence them."""
    wanted = rates(features)
    drawn = wanted.clone()
    for parents, children in levels(roots):
        siblings = wanted[children].unflatten(0, (-1, BRANCHES))
        of_parent = wanted[parents][:, None]
        others = siblings.sum(1, keepdim=True) - siblings
        raised = siblings / of_parent * (1 + others / of_parent)
        drawn[children] = raised.clamp(max=1).flatten()
    return drawn


def spread(rows: Tensor) -> Tensor:
    """Unit rows [N, d], turned away from each other by `STEPS` steps of Adam on
    ``sum_{i != j} (d_i . d_j)^2 + N sum_i (|d_i|^2 - 1)^2``."""
    vectors = (rows / rows.norm(dim=1, keepdim=True)).requires_grad_()
    adam = torch.optim.Adam([vectors], lr=RATE)
    for _ in range(STEPS):
        adam.zero_grad()
        # Of all pairs: |V^T V|^2 in the place of |V V^T|^2, which is N^2 numbers.
        norms = vectors.square().sum(1)
        pairs = (vectors.T @ vectors).square().sum() - norms.square().sum()
        (pairs + len(rows) * (norms - 1).square().sum()).backward()
        adam.step()
    found: Tensor = vectors.detach()
    found /= found.norm(dim=1, keepdim=True)
    return found
