"""Activations of language models: where they are read, how they are stored and streamed.

`pack` turns text into contexts, `dump_activations` fills a store from them in one pass of a
model, `Store` reads it, `ActivationStream` shuffles it for training and `splice` puts
reconstructions back into the model.
"""

from sagsae.activations.calibration import (
    kept_mask,
    load_calibration,
    median_norms,
)
from sagsae.activations.commits import Moments, Statistics
from sagsae.activations.dump import (
    DumpProgress,
    DumpSettings,
    contexts_per_block,
    dump_activations,
    dump_config,
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
    "Moments",
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
    "dump_config",
    "iterate",
    "kept_mask",
    "load_calibration",
    "load_tokens",
    "median_norms",
    "pack",
    "resolve",
    "run_captured",
    "save_tokens",
    "splice",
    "store_path",
    "verify_store",
]
