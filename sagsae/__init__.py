"""Sign-aware and other gated sparse autoencoders on cached language-model activations.

Imported before PyTorch, it shortens the time that idle threads of OpenMP keep a core. After each
product they spin for milliseconds, waiting for the next one, and so take the cores from the
compiled loops between two products. ``GOMP_SPINCOUNT`` or ``OMP_WAIT_POLICY`` in the environment
take precedence.
"""

import os

__version__ = "0.1.0"

SPIN_COUNT = 10_000
"""Rounds of waiting: enough to last from one PyTorch operation to the next, no more."""

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))
