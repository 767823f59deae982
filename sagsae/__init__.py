"""Sign-aware and other gated sparse autoencoders on cached language-model activations.

The names below are all that most users need. Each is imported when it is first used, so that
``import sagsae`` itself takes no time and changes nothing in the process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagsae.activations import ActivationStream as ActivationStream
    from sagsae.activations import Hookpoint as Hookpoint
    from sagsae.activations import Store as Store
    from sagsae.activations import default_hookpoints as default_hookpoints
    from sagsae.api import Trained as Trained
    from sagsae.api import evaluate as evaluate
    from sagsae.api import train as train
    from sagsae.autoencoders.base import Autoencoder as Autoencoder
    from sagsae.comparison import Comparison as Comparison
    from sagsae.comparison import compare as compare
    from sagsae.evaluation.consistency import consistency as consistency
    from sagsae.evaluation.poles import poles as poles
    from sagsae.evaluation.poles import signed_pairs as signed_pairs
    from sagsae.exchange.loading import load as load
    from sagsae.exchange.saelens import export_saelens as export_saelens
    from sagsae.interventions import kept_positions as kept_positions
    from sagsae.interventions import loss_recovered as loss_recovered
    from sagsae.interventions import splice as splice
    from sagsae.interventions import steer as steer
    from sagsae.language_models import load_language_model as load_language_model
    from sagsae.language_models import load_tokenizer as load_tokenizer
    from sagsae.result_files import results as results
    from sagsae.schedules import Recipe as Recipe
    from sagsae.sweeps import Sweep as Sweep
    from sagsae.texts import dump as dump

__version__ = "0.2.0"
_NAMES = {
    "activations": "ActivationStream Hookpoint Store default_hookpoints",
    "api": "Trained evaluate train",
    "autoencoders.base": "Autoencoder",
    "comparison": "Comparison compare",
    "evaluation.consistency": "consistency",
    "evaluation.poles": "poles signed_pairs",
    "exchange.loading": "load",
    "exchange.saelens": "export_saelens",
    "interventions": "kept_positions loss_recovered splice steer",
    "language_models": "load_language_model load_tokenizer",
    "result_files": "results",
    "sweeps": "Sweep",
    "schedules": "Recipe",
    "texts": "dump",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
