"""Activations of language models: where they are read, how they are stored and streamed.

`pack` makes contexts of text. `dump_activations` fills a store from them in one pass of a model.
`Store` reads it, also as a lazy dask array. `ActivationStream` shuffles it for training. `splice`
puts reconstructions back into the model.
"""

from sagsae.activations.calibration import (
    kept_mask,
    load_calibration,
)
from sagsae.activations.commits import Statistics
from sagsae.activations.dump import (
    DumpProgress,
    DumpSettings,
    contexts_per_block,
    dump_activations,
)
from sagsae.activations.errors import (
    ChunkReadError,
    ConfigMismatchError,
    Fault,
    NonFiniteActivationError,
    StoreError,
    StoreFaultsError,
    StoreLockedError,
)
from sagsae.activations.hookpoints import (
    Hookpoint,
    capture,
    default_hookpoints,
    resolve,
    run_captured,
    splice,
)
from sagsae.activations.layout import StoreConfig, store_path
from sagsae.activations.store import Store
from sagsae.activations.stream import ActivationStream, iterate
from sagsae.activations.tokens import TokenStore, load_tokens, pack, save_tokens
from sagsae.activations.verify import verify_store
from sagsae.activations.writer import StoreWriter

__all__ = [
    "ActivationStream",
    "ChunkReadError",
    "ConfigMismatchError",
    "DumpProgress",
    "DumpSettings",
    "Fault",
    "Hookpoint",
    "NonFiniteActivationError",
    "Statistics",
    "Store",
    "StoreConfig",
    "StoreError",
    "StoreFaultsError",
    "StoreLockedError",
    "StoreWriter",
    "TokenStore",
    "capture",
    "contexts_per_block",
    "default_hookpoints",
    "dump_activations",
    "iterate",
    "kept_mask",
    "load_calibration",
    "load_tokens",
    "pack",
    "resolve",
    "run_captured",
    "save_tokens",
    "splice",
    "store_path",
    "verify_store",
]
