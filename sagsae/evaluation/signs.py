"""What the two signs of latents hold: agreement of seeds, opposite pairs, poles, dead latents.

`consistency`: how much of a dictionary comes back from another seed (arXiv 2505.20254).

`poles`: is a two-sided latent a pair of opposites, or one direction used twice? The one-sided
dictionary of the same activations is the witness. Each pole of a two-sided latent, its decoder row
and the opposite of that row, looks for a one-sided latent that points along it and fires with it.
This is the paper's protocol C on real activations. The thresholds are our own.

`dead_by_start`: did the latents that died begin against the mean of the activations? With ``b_dec``
at zero, activations lie around a mean that may be large beside their spread. Then a one-sided
latent whose encoder row points against the mean never opens, and a two-sided one opens with its
other sign (compare arXiv 2605.31518).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from statistics import fmean

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import cosine_similarity

from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.steering.directions import ROWS_AT_ONCE, nearest, unit

# Cosine from which a direction counts as found in another dictionary.
FOUND = 0.7


@dataclass(frozen=True)
class Consistency:
    """Agreement of dictionaries that differ in their seed alone.

    Attributes:
        greedy: mean over latents of the best cosine with any latent of another seed.
        assigned: mean cosine where each latent of one seed takes another latent of the other one,
            so that the sum of cosines is largest (the Hungarian method).
        found: share of latents that have a latent at `FOUND` or more in every other seed.
    """

    greedy: float
    assigned: float
    found: float


def best_cosines(rows: Tensor, others: Tensor, *, either_sign: bool) -> Tensor:
    """[n] float32: the largest cosine of each of ``rows`` [n, d] with any of ``others`` [m, d].

    Args:
        rows: directions.
        others: directions of another dictionary, m > 0.
        either_sign: whether a direction and its opposite are the same, as for two-sided latents.
    """
    along, against = nearest(rows, others)[1].unbind(1)
    return torch.maximum(along, -against) if either_sign else along


def assigned_cosines(rows: Tensor, others: Tensor, *, either_sign: bool) -> Tensor:
    """[min(n, m)] float32: cosines of the one-to-one pairs whose sum is largest."""
    cosines = unit(rows) @ unit(others).T
    cosines = (cosines.abs() if either_sign else cosines).cpu()
    return cosines[linear_sum_assignment(cosines.numpy(), maximize=True)]


def consistency(decoders: Sequence[Tensor], *, either_sign: bool) -> Consistency:
    """Compare dictionaries of several seeds.

    Args:
        decoders: of each seed the rows [H, d] of its live latents; H may differ.
        either_sign: whether a direction and its opposite are the same, as for two-sided latents.

    Raises:
        ValueError: fewer than two seeds, or one without a live latent.
    """
    if len(decoders) < 2 or not all(map(len, decoders)):
        raise ValueError("consistency needs live latents of two seeds at least")
    best = {
        (i, j): best_cosines(decoders[i], decoders[j], either_sign=either_sign)
        for i, j in permutations(range(len(decoders)), 2)
    }
    assigned = [
        float(assigned_cosines(*pair, either_sign=either_sign).mean())
        for pair in combinations(decoders, 2)
    ]
    found = [
        torch.stack([cosines for (own, _), cosines in best.items() if own == seed]).amin(0) >= FOUND
        for seed in range(len(decoders))
    ]
    return Consistency(
        greedy=fmean(float(cosines.mean()) for cosines in best.values()),
        assigned=fmean(assigned),
        found=fmean(float(one.float().mean()) for one in found),
    )


# Share of its firings with the rarer sign from which a latent counts as two-sided.
TWO_SIDED = 0.1
# Share of a pole's firings in which its match fires, too, from which both fire together.
TOGETHER = 0.5


@dataclass(frozen=True)
class SignedPairs:
    """Pairs among n live latents of a dictionary, by the cosine of their decoder rows.

    Attributes:
        opposite: pairs at ``-FOUND`` or less.
        alike: pairs at ``FOUND`` or more: what chance gives, where signs mean nothing.
        latents: n.
    """

    opposite: int
    alike: int
    latents: int


@dataclass(frozen=True)
class Poles:
    """What the one-sided dictionary has of the poles of two-sided latents.

    Attributes:
        both: latents whose two poles both have a match that fires with them.
        one: latents of which one pole does.
        neither: latents of which none does.
        along: latents whose two poles both have a latent along them, whether or not it fires with
            them.
        stronger: mean over latents of the best cosine of the pole for which it is higher.
        weaker: mean of that of the other pole. Both are 0 where no latent is two-sided.
    """

    both: int
    one: int
    neither: int
    along: int
    stronger: float
    weaker: float


def signed_pairs(rows: Tensor) -> SignedPairs:
    """Count opposite pairs of decoder rows [n, d], and pairs that point the same way."""
    rows = unit(rows)
    opposite = alike = 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        cosines = rows[start : start + ROWS_AT_ONCE] @ rows.T
        opposite += int((cosines <= -FOUND).sum())
        alike += int((cosines >= FOUND).sum())
    return SignedPairs(opposite // 2, (alike - len(rows)) // 2, len(rows))


def two_sided_latents(counts: Tensor) -> Tensor:
    """[H] bool: the latents whose rarer sign has a share of at least `TWO_SIDED`.

    Args:
        counts: [2, H] firings with either sign.
    """
    return counts.amin(0) >= TWO_SIDED * counts.sum(0).clamp(min=1)


@torch.no_grad()
def poles(two_sided: Autoencoder, one_sided: Autoencoder, batches: Iterable[Tensor]) -> Poles:
    """Look for the poles of two-sided latents in a one-sided dictionary.

    Args:
        two_sided: H latents that may fire with either sign.
        one_sided: usually 2H latents, trained on the same activations with another seed: two of one
            seed begin at the same rows, and some of these match whatever was learned.
        batches: raw activations [B, d] of held-out tokens.
    """
    rows = unit(two_sided.W_dec)
    numbers, cosines = nearest(torch.cat([rows, -rows]), one_sided.W_dec)
    fired = torch.zeros(2 * two_sided.width, dtype=torch.int64)
    together = torch.zeros_like(fired)
    for x in batches:
        codes = two_sided.encode(x)
        signs = torch.cat([codes > 0, codes < 0], 1)
        matches = (one_sided.encode(x) != 0)[:, numbers[:, 0]]
        fired += signs.sum(0).cpu()
        together += (signs & matches).sum(0).cpu()
    used = two_sided_latents(fired.view(2, -1))
    best = cosines[:, 0].view(2, -1)[:, used]
    firing = (together >= TOGETHER * fired.clamp(min=1)).view(2, -1)[:, used]
    of_each = ((best >= FOUND) & firing).sum(0)
    both, one, neither = (int((of_each == n).sum()) for n in (2, 1, 0))
    latents = max(1, best.shape[1])
    return Poles(
        both=both,
        one=one,
        neither=neither,
        along=int((best.amin(0) >= FOUND).sum()),
        stronger=float(best.amax(0).sum()) / latents,
        weaker=float(best.amin(0).sum()) / latents,
    )


@dataclass(frozen=True)
class DeadByStart:
    """Shares of dead latents, by the cosine of their first row with the mean.

    Attributes:
        against: among the quarter of all latents with the lowest cosine.
        along: among the quarter with the highest.
    """

    against: float
    along: float


def dead_by_start(rows: Tensor, mean: Tensor, dead: Tensor) -> DeadByStart:
    """Split the latents by where they began.

    Args:
        rows: [H, d] first encoder rows.
        mean: [d] of the activations.
        dead: [H] bool.
    """
    order = cosine_similarity(rows, mean[None]).argsort()
    quarter = max(1, len(order) // 4)
    shares = (dead[part].double().mean() for part in (order[:quarter], order[-quarter:]))
    return DeadByStart(*map(float, shares))
