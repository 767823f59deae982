"""What each latent of an autoencoder does on a held-out store, collected in two passes.

Of every latent and sign: how often it fires and how true to size (`Firings`), a histogram of its
activations (`Bins`), the contexts in which it fires most strongly, and firings drawn from equal
intervals of its activation. A firing is kept with the activations of its latent on the tokens
around it. The first pass finds sums and the largest activations, which set the bins.

Memory is bounded by H, by what is kept of a latent and by one block of the store, whose firings are
held together: all tokens of a context are in one block.

A firing is kept by its score, of which the lowest are kept (`Lowest`): minus its size for the
strongest, a random number for a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sagsae.activations.store import Store
from sagsae.activations.tokens import TokenStore, places_of_rows
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.calibration import Firings
from sagsae.evaluation.metrics import rows_at_once

NAMES = ("score", "place", "value", "window")


class Lowest:
    """The k lowest firings of each of a number of keys.

    Args:
        keys: number of keys.
        k: firings of each, at most.
        width: of a window.

    Attributes:
        score: [keys, k] float64, lowest first; infinite where there is no firing. Of equal ones,
            the lower place comes first.
        place: [keys, k] int64, ``context * L + position``.
        value: [keys, k] float32, z.
        window: [keys, k, width] float16, z of the latent around.
    """

    def __init__(self, keys: int, k: int, width: int) -> None:
        self.k = k
        self.score = np.full((keys, k), np.inf)
        self.place = np.zeros((keys, k), np.int64)
        self.value = np.zeros((keys, k), np.float32)
        self.window = np.zeros((keys, k, width), np.float16)

    def offer(
        self,
        key: np.ndarray,
        score: np.ndarray,
        place: np.ndarray,
        value: np.ndarray,
        windows: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """Keep those of n new firings that belong to the lowest k of their key.

        Args:
            key: [n] int64.
            score: [n] float64, finite.
            place: [n] int64.
            value: [n] float32.
            windows: gives the windows of some of them, by ascending index.
        """
        if not self.k:
            return
        lower = np.flatnonzero(score < self.score[key, -1])
        order, _ = lowest_of_each(key[lower], score[lower], place[lower], self.k)
        new = np.sort(lower[order])
        keys = np.unique(key[new])
        there = np.isfinite(self.score[keys])
        both = {
            name: np.concatenate([getattr(self, name)[keys][there], of])
            for name, of in zip(
                NAMES, (score[new], place[new], value[new], windows(new)), strict=True
            )
        }
        owner = np.concatenate([np.repeat(keys, there.sum(1)), key[new]])
        order, rank = lowest_of_each(owner, both["score"], both["place"], self.k)
        for name in NAMES:
            getattr(self, name)[owner[order], rank] = both[name][order]


def lowest_of_each(
    key: np.ndarray, score: np.ndarray, place: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the k lowest of each key, by key and score, of equal scores by place; and the rank
    of each among those of its key."""
    order = np.lexsort((place, score, key))
    rank = np.arange(len(order)) - np.searchsorted(key[order], key[order])
    return order[rank < k], rank[rank < k]


# Bins of one sign; a power of two.
BINS = 64

# Exponent of a range that has no value.
EMPTY = -(2**14)


class Bins:
    """Counts of sizes |z| > 0 of H latents by sign. More than half of the bins are in use.

    Args:
        largest: [2, H] float, the largest size of either sign, positive before negative; 0 for
            none.

    Attributes:
        exponents: [2, H] int16; bins cover [0, 2 ** exponent). `EMPTY` where there is no size.
        counts: [2, H, BINS] int64. A bin holds its lower edge.
    """

    def __init__(self, largest: np.ndarray) -> None:
        self.exponents = np.where(largest > 0, np.frexp(largest)[1], EMPTY).astype(np.int16)
        self.counts = np.zeros((*largest.shape, BINS), np.int64)

    def parts(self, side: np.ndarray, latent: np.ndarray, size: np.ndarray, n: int) -> np.ndarray:
        """[m] int64, which of n equal parts of its range each size is in.

        Args:
            side: [m] int, 0 for positive.
            latent: [m] int.
            size: [m] float, inside the range of its latent and side.
            n: number of parts, a power of two.
        """
        share = np.ldexp(size.astype(np.float64), -self.exponents[side, latent].astype(np.int32))
        found: np.ndarray = (share * n).astype(np.int64).clip(max=n - 1)
        return found

    def add(self, side: np.ndarray, latent: np.ndarray, size: np.ndarray) -> None:
        """Count sizes that are inside the ranges."""
        width = self.counts.shape[1]
        flat = (side * width + latent) * BINS + self.parts(side, latent, size, BINS)
        self.counts += np.bincount(flat, minlength=self.counts.size).reshape(self.counts.shape)


# Equal parts of the range of `Bins` from which firings are drawn; more than half are in
# use, and the largest activation is in the last of these.
INTERVALS = 8

# Where float16 ends, about.
LARGEST = 6e4


@dataclass(frozen=True)
class Keep:
    """What is kept of each latent and sign.

    Attributes:
        top: contexts, those of the strongest activations; one firing of each.
        samples: firings of each interval, drawn at random.
        window: tokens before and after a firing.
        seed: of the draw.
    """

    top: int = 10
    samples: int = 2
    window: int = 20
    seed: int = 0


@dataclass(frozen=True)
class Profiles:
    """What was collected, of H latents.

    Attributes:
        tokens: rows that were read.
        firings: by sign, see `Firings`.
        bins: histograms by sign, positive before negative.
        strongest: by keys ``side * H + latent``, the strongest firing first.
        drawn: by keys ``(side * H + latent) * INTERVALS + interval``, in random order.
    """

    tokens: int
    firings: Firings
    bins: Bins
    strongest: Lowest
    drawn: Lowest


@dataclass(frozen=True)
class _Block:
    """Firings of one block by ascending latent and place: [n] arrays."""

    latent: np.ndarray
    place: np.ndarray
    value: np.ndarray
    # Places of a context.
    length: int

    @property
    def side(self) -> np.ndarray:
        return (self.value < 0).astype(np.int64)


def profile_latents(
    autoencoder: Autoencoder,
    store: Store,
    hookpoint: str,
    tokens: TokenStore,
    keep: Keep,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> Profiles:
    """Read a store twice and collect what its latents do.

    Args:
        autoencoder: on ``device``.
        store: held-out activations.
        hookpoint: whose.
        tokens: the contexts that the store was filled from.
        keep: how much is kept.
        device: where codes are computed.
        progress: called with the number of rows read, those of both passes together.

    Raises:
        ValueError: store and contexts do not belong together.
    """
    width, around = autoencoder.width, 2 * keep.window + 1
    rows = partial(_rows, autoencoder, store, hookpoint, device)
    firings, largest, done = None, np.zeros((2, width), np.float32), 0
    for block in store.blocks:
        for x in rows(block):
            part, sizes = _sums(autoencoder, x)
            firings = part if firings is None else firings + part
            largest = np.maximum(largest, sizes)
        progress(done := done + store.config.rows_per_block)
    if firings is None:
        raise ValueError(f"{store.storage}: no rows, so nothing can be said of latents")
    bins = Bins(largest)
    strongest = Lowest(2 * width, keep.top, around)
    drawn = Lowest(2 * width * INTERVALS, keep.samples, around)
    for block in store.blocks:
        places = places_of_rows(store, tokens, block)
        firing = _firings_of(autoencoder, rows(block), places, tokens.context_length)
        if len(firing.latent):
            bins.add(firing.side, firing.latent, np.abs(firing.value))
            _keep_strongest(strongest, firing, keep)
            _draw(drawn, bins, firing, keep)
        progress(done := done + store.config.rows_per_block)
    return Profiles(done // 2, firings, bins, strongest, drawn)


def _rows(
    autoencoder: Autoencoder, store: Store, hookpoint: str, device: torch.device | str, block: int
) -> Iterator[Tensor]:
    """Rows of a block on a device, at unit mean square, as many as are encoded together."""
    per_block = store.config.chunks_per_block
    first = store.blocks.index(block) * per_block
    for chunk in range(first, first + per_block):
        rows = store.read_rows_as_tensor(hookpoint, chunk).to(device)
        for x in rows.split(rows_at_once(rows.device, autoencoder.width)):
            yield x.float() * autoencoder.scale


def _sums(autoencoder: Autoencoder, x: Tensor) -> tuple[Firings, np.ndarray]:
    """Sums over some rows, and the largest size of either sign [2, H]; 0 where there is none."""
    with torch.inference_mode():
        z = autoencoder.code(x)
        firings, _ = Firings.of_rows(z, x - autoencoder.reconstruct(z), autoencoder.W_dec)
        largest = torch.stack([z.amax(0), -z.amin(0)]).clamp_min(0)
    return firings, largest.float().cpu().numpy()


def _firings_of(
    autoencoder: Autoencoder, batches: Iterator[Tensor], places: np.ndarray, length: int
) -> _Block:
    """Every firing in a block, whose rows lie at these places in contexts of this length."""
    parts, at = [], 0
    with torch.inference_mode():
        for x in batches:
            z = autoencoder.code(x)
            at_row, of_latent = z.nonzero(as_tuple=True)
            found = at_row + at, of_latent, z[at_row, of_latent].float()
            parts.append([part.cpu().numpy() for part in found])
            at += len(x)
    row, latent, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    place = places[row]
    order = np.lexsort((place, latent))
    return _Block(latent[order], place[order], value[order], length)


def _keep_strongest(strongest: Lowest, found: _Block, keep: Keep) -> None:
    """The strongest firing of each context competes for a place of its latent and sign."""
    key = found.side * (len(strongest.score) // 2) + found.latent
    score = -np.abs(found.value).astype(np.float64)
    context = found.place // found.length
    order = np.lexsort((found.place, score, context, key))
    first = np.concatenate([[True], (np.diff(key[order]) != 0) | (np.diff(context[order]) != 0)])
    best = np.sort(order[first])
    strongest.offer(
        key[best],
        score[best],
        found.place[best],
        found.value[best],
        lambda new: _windows(found, best[new], keep.window),
    )


def _draw(drawn: Lowest, bins: Bins, found: _Block, keep: Keep) -> None:
    """Every firing competes for a place of its latent, sign and interval by a random number."""
    width, side = bins.exponents.shape[1], found.side
    interval = bins.parts(side, found.latent, np.abs(found.value), INTERVALS)
    key = (side * width + found.latent) * INTERVALS + interval
    score = random_numbers(found.place * width + found.latent, keep.seed)
    windows = partial(_windows, found, reach=keep.window)
    drawn.offer(key, score, found.place, found.value, windows)


def random_numbers(names: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each name [n] int64, the same wherever and whenever it is drawn.

    Mixed as in SplitMix64 (Steele, Lea and Flood 2014).
    """
    step = 0x9E3779B97F4A7C15
    x = names.astype(np.uint64) + np.uint64((seed + 1) * step % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return (x ^ (x >> np.uint64(31))) / 2.0**64


def _windows(found: _Block, chosen: np.ndarray, reach: int) -> np.ndarray:
    """[n, 2 reach + 1] float16, activations of their latents around some firings [n]."""
    place = found.place[chosen, None]
    near = place + np.arange(-reach, reach + 1)
    inside = place // found.length == near // found.length
    span = int(found.place.max()) + reach + 1
    names = found.latent * span + found.place  # ascending
    wanted = found.latent[chosen, None] * span + near
    at = np.searchsorted(names, wanted).clip(max=len(names) - 1)
    fires = inside & (names[at] == wanted)
    return np.where(fires, np.clip(found.value[at], -LARGEST, LARGEST), 0).astype(np.float16)
