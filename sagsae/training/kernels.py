"""What the compiled loops of a training step on the CPU share.

Numba compiles the loops when they are first called and keeps the result on disk; no C compiler is
needed. They run over a range of rows and release the GIL, so that threads can share them; what a
thread writes, no other does. Sums over rows are made of the threads' parts, and so they round
otherwise with another number of threads.

Helpers are inlined before compilation (``inline="always"``) and lie in the file of their callers.
Otherwise each loop's machine code holds a copy of its own, optimised otherwise, and which one runs
depends on what was loaded first; and the cache of a loop, which looks at the date of its own file
alone, would not notice that a helper changed.

Operands of products are float32, float64, or bfloat16 as its bits in uint16.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz"},  # sums may be vectorised; NaN stays NaN
}


class Entries(NamedTuple):
    """Open entries, row by row; those of row i lie from ``starts[i]`` up to ``ends[i]``.

    ``latents`` [n], ascending in a row, ``values`` their pre-activations, the code ``z`` and the
    auxiliary code ``a``; ``du`` receives the gradient at the pre-activation. ``rows`` and
    ``entries`` list row and place of each once more, latent by latent, those of latent h from
    ``latent_starts[h]`` up to ``latent_starts[h + 1]``. There is memory for ``room`` entries a row
    on average.
    """

    room: int
    starts: np.ndarray
    ends: np.ndarray
    latents: np.ndarray
    values: np.ndarray
    z: np.ndarray
    a: np.ndarray
    du: np.ndarray
    latent_starts: np.ndarray
    rows: np.ndarray
    entries: np.ndarray

    @classmethod
    def of(cls, rows: int, width: int, room: int, dtype: np.dtype) -> Entries:
        """Memory for the entries of so many rows; unused, it stays virtual."""
        size = rows * room
        starts, ends = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        latents, by_row, entries = (np.empty(size, np.int32) for _ in range(3))
        values, z, a, du = (np.empty(size, dtype) for _ in range(4))
        by_latent = np.zeros(width + 1, np.int64), by_row, entries
        return cls(room, starts, ends, latents, values, z, a, du, *by_latent)


def widen(x):
    """A stored element as a float."""


def narrow(x, out):
    """A float as an element of the array ``out``; bfloat16 rounds to nearest, ties to even."""


@overload(widen)
def _widen(x):
    if isinstance(x, types.Integer):
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


@overload(narrow)
def _narrow(x, out):
    if isinstance(out.dtype, types.Integer):

        def to_bits(x, out):
            bits = np.float32(x).view(np.uint32)
            if x != x:
                return np.uint16(0x7FC0)
            rounding = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
            return np.uint16(np.uint32(bits + rounding) >> np.uint32(16))

        return to_bits
    return lambda x, out: x
