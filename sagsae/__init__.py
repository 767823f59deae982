"""Sign-aware and other gated sparse autoencoders on cached language-model activations.

The names below are all that most users need. Each is imported when it is first used, so that
``import sagsae`` itself takes no time and changes nothing in the process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagsae.activations.hookpoints import Hookpoint, default_hookpoints
    from sagsae.activations.store import Store
    from sagsae.activations.stream import ActivationStream
    from sagsae.api import Trained, evaluate, splice, train
    from sagsae.autoencoders.base import Autoencoder
    from sagsae.autoencoders.storage import load
    from sagsae.comparison import Comparison, compare
    from sagsae.language_models import load_language_model, load_tokenizer
    from sagsae.result_files import results
    from sagsae.sweeps import Sweep
    from sagsae.training.schedules import Recipe

__version__ = "0.1.0"
__all__ = [
    "ActivationStream",
    "Autoencoder",
    "Comparison",
    "Hookpoint",
    "Recipe",
    "Store",
    "Sweep",
    "Trained",
    "compare",
    "default_hookpoints",
    "evaluate",
    "load",
    "load_language_model",
    "load_tokenizer",
    "results",
    "splice",
    "train",
]
_MODULES = {
    "ActivationStream": "activations.stream",
    "Autoencoder": "autoencoders.base",
    "Comparison": "comparison",
    "Hookpoint": "activations.hookpoints",
    "Recipe": "training.schedules",
    "Store": "activations.store",
    "Sweep": "sweeps",
    "Trained": "api",
    "compare": "comparison",
    "default_hookpoints": "activations.hookpoints",
    "evaluate": "api",
    "load": "autoencoders.storage",
    "load_language_model": "language_models",
    "load_tokenizer": "language_models",
    "results": "result_files",
    "splice": "api",
    "train": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
