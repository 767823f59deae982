"""What each latent of an autoencoder does on a held-out store, collected in one pass.

Of every latent and sign: how often it fires and how true to size (`Firings`), a histogram of its
activations (`GrowingBins`), the contexts in which it fires most strongly, and firings drawn from
equal intervals of its activation. A firing is kept with the activations of its latent on the tokens
around it.

Memory is bounded by H, by what is kept of a latent and by one block of the store, whose firings are
held together: all tokens of a context are in one block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sagsae.activations.places import places_of_rows
from sagsae.activations.store import Store
from sagsae.activations.tokens import TokenStore
from sagsae.evaluation.calibration import Firings
from sagsae.evaluation.growing_bins import GrowingBins
from sagsae.evaluation.heaps import Entries, Heaps
from sagsae.evaluation.metrics import SupportsCode, rows_at_once
from sagsae.memory import needs_memory

INTERVALS = 8
"""Equal parts of the range of `GrowingBins` from which firings are drawn; more than half are in
use, and the largest activation is in the last of these."""

LARGEST = 6e4
"""Where float16 ends, about."""

DENSE_BYTES = 2**26
"""Activations of some latents on all places of a block that are held as an array."""


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
        strongest: heaps of keys ``side * H + latent``, the strongest firing first.
        drawn: heaps of keys ``(side * H + latent) * INTERVALS + interval``, in random order.
    """

    tokens: int
    firings: Firings
    bins: GrowingBins
    strongest: Heaps
    drawn: Heaps


@dataclass(frozen=True)
class _Block:
    """Firings of one block, by ascending latent: [n] arrays, and how places are laid out."""

    latent: np.ndarray
    place: np.ndarray
    value: np.ndarray
    first: int
    """Its first place."""
    places: int
    length: int

    @property
    def side(self) -> np.ndarray:
        return (self.value < 0).astype(np.int64)


@needs_memory("what is kept of each latent")
def profile_latents(
    autoencoder: SupportsCode,
    store: Store,
    hookpoint: str,
    tokens: TokenStore,
    keep: Keep,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> Profiles:
    """Read a store once and collect what its latents do.

    Args:
        autoencoder: on ``device``.
        store: held-out activations.
        hookpoint: whose.
        tokens: the contexts that the store was filled from.
        keep: how much is kept.
        device: where codes are computed.
        progress: called with the number of rows read.

    Raises:
        ValueError: store and contexts do not belong together.
    """
    width = autoencoder.width
    bins = GrowingBins(width)
    around = 2 * keep.window + 1
    strongest = Heaps(2 * width, keep.top, around)
    drawn = Heaps(2 * width * INTERVALS, keep.samples, around)
    total, done = None, 0
    for block in store.blocks:
        firings, found = _firings_of(autoencoder, store, hookpoint, tokens, block, device)
        total = firings if total is None else total + firings
        if len(found.latent):
            _widen(bins, drawn, found)
            bins.add(found.side, found.latent, np.abs(found.value))
            _keep_strongest(strongest, found, keep)
            _draw(drawn, bins, found, keep)
        done += store.config.rows_per_block
        progress(done)
    if total is None:
        raise ValueError(f"{store.storage}: no rows, so nothing can be said of latents")
    return Profiles(done, total, bins, strongest, drawn)


def _firings_of(
    autoencoder: SupportsCode,
    store: Store,
    hookpoint: str,
    tokens: TokenStore,
    block: int,
    device: torch.device | str,
) -> tuple[Firings, _Block]:
    """Sums over a block, and every firing in it."""
    per_block, parts, sums = store.config.chunks_per_block, [], []
    chunks = range(
        store.blocks.index(block) * per_block, (store.blocks.index(block) + 1) * per_block
    )
    at = 0
    with torch.inference_mode():
        for chunk in chunks:
            rows = store.read_rows_as_tensor(hookpoint, chunk).to(device)
            for x in rows.split(rows_at_once(rows.device, autoencoder.width)):
                firings, where = _encode(autoencoder, x)
                where[0] += at
                sums.append(firings)
                parts.append(where)
                at += len(x)
    row, latent, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(latent, kind="stable")
    places, length = places_of_rows(store, tokens, block), tokens.context_length
    first = int(places.min()) // length * length
    found = _Block(
        latent=latent[order],
        place=places[row[order]],
        value=value[order],
        first=first,
        places=(int(places.max()) // length + 1) * length - first,
        length=length,
    )
    total = sums[0]
    for part in sums[1:]:
        total = total + part
    return total, found


def _encode(autoencoder: SupportsCode, rows: Tensor) -> tuple[Firings, list[np.ndarray]]:
    """Sums over some rows; row, latent and z of every firing."""
    x = rows.float() * autoencoder.scale
    z = autoencoder.encode(x)
    firings, _ = Firings.of_rows(z, x - autoencoder.decode(z), autoencoder.W_dec)
    row, latent = z.nonzero(as_tuple=True)
    found = row, latent, z[row, latent].float()
    return firings, [part.cpu().numpy() for part in found]


def _widen(bins: GrowingBins, drawn: Heaps, found: _Block) -> None:
    """Let the ranges hold a block; what was drawn of ranges that grow is sorted into intervals
    again."""
    width = bins.exponents.shape[1]
    pair = found.side * width + found.latent
    order = np.argsort(pair, kind="stable")
    size = np.abs(found.value[order])
    starts = np.flatnonzero(np.concatenate([[True], np.diff(pair[order]) > 0]))
    pairs, largest = pair[order][starts], np.maximum.reduceat(size, starts)
    grown = pairs[bins.reach(pairs // width, pairs % width, largest)]
    keys = (grown[:, None] * INTERVALS + np.arange(INTERVALS)).ravel()
    of = np.repeat(keys // INTERVALS, np.isfinite(drawn.score[keys]).sum(1))
    entries = drawn.pop(keys)
    interval = bins.bins(of // width, of % width, np.abs(entries.value), INTERVALS)
    drawn.add(of * INTERVALS + interval, entries)


def _keep_strongest(strongest: Heaps, found: _Block, keep: Keep) -> None:
    """The strongest firing of each context competes for the heap of its latent and sign."""
    key = found.side * (len(strongest.score) // 2) + found.latent
    score = -np.abs(found.value).astype(np.float64)
    context = found.place // found.length
    order = np.lexsort((found.place, score, context, key))
    first = np.concatenate([[True], (np.diff(key[order]) != 0) | (np.diff(context[order]) != 0)])
    _offer(strongest, key, score, order[first], found, keep)


def _draw(drawn: Heaps, bins: GrowingBins, found: _Block, keep: Keep) -> None:
    """Every firing competes for the heap of its latent, sign and interval by a random number."""
    width, side = bins.exponents.shape[1], found.side
    interval = bins.bins(side, found.latent, np.abs(found.value), INTERVALS)
    key = (side * width + found.latent) * INTERVALS + interval
    score = random_numbers(found.place * width + found.latent, keep.seed)
    _offer(drawn, key, score, np.arange(len(key)), found, keep)


def random_numbers(names: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each name [n] int64, the same wherever and whenever it is drawn.

    Mixed as in SplitMix64 (Steele, Lea and Flood 2014).
    """
    step = 0x9E3779B97F4A7C15
    x = names.astype(np.uint64) + np.uint64((seed + 1) * step % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return (x ^ (x >> np.uint64(31))) / 2.0**64


def _offer(
    heaps: Heaps,
    key: np.ndarray,
    score: np.ndarray,
    which: np.ndarray,
    found: _Block,
    keep: Keep,
) -> None:
    """Put those of some firings into heaps that belong there, with their windows."""
    chosen = which[heaps.may_enter(key[which], score[which])]
    chosen = np.sort(chosen)
    window = _windows(found, chosen, keep.window)
    entries = Entries(score[chosen], found.place[chosen], found.value[chosen], window)
    heaps.add(key[chosen], entries)


def _windows(found: _Block, chosen: np.ndarray, reach: int) -> np.ndarray:
    """[n, 2 reach + 1] float16, activations of their latents around some firings.

    Args:
        chosen: [n] ascending indices of firings; so latents ascend, too.
    """
    around = np.arange(-reach, reach + 1)
    windows = np.zeros((len(chosen), len(around)), np.float16)
    latents = found.latent[chosen]
    at_once = max(1, DENSE_BYTES // (2 * found.places))
    for first in range(0, int(found.latent[-1]) + 1, at_once):
        mine = slice(*np.searchsorted(latents, [first, first + at_once]))
        if mine.start == mine.stop:
            continue
        every = slice(*np.searchsorted(found.latent, [first, first + at_once]))
        dense = np.zeros((at_once, found.places), np.float16)
        dense[found.latent[every] - first, found.place[every] - found.first] = np.clip(
            found.value[every], -LARGEST, LARGEST
        )
        place = found.place[chosen[mine], None]
        inside = place // found.length == (place + around) // found.length
        near = np.where(inside, place + around, place) - found.first
        windows[mine] = np.where(inside, dense[latents[mine, None] - first, near], 0)
    return windows
