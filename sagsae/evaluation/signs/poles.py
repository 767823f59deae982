"""Is a two-sided latent a pair of opposites, or one direction used twice?

The one-sided dictionary of the same activations is the witness. Each pole of a two-sided latent,
its decoder row and the opposite of that row, looks for a one-sided latent that points along it and
fires with it. This is the paper's protocol C on real activations. The thresholds are our own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.signs.consistency import FOUND
from sagsae.evaluation.steering.directions import ROWS_AT_ONCE, nearest, unit

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
