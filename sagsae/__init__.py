"""Sign-aware and other gated sparse autoencoders on cached language-model activations.

The names below are all that most users need. Each is imported when it is first used, so that
``import sagsae`` itself takes no time and changes nothing in the process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagsae.activations.hookpoints import Hookpoint as Hookpoint
    from sagsae.activations.hookpoints import default_hookpoints as default_hookpoints
    from sagsae.activations.language_models import load_language_model as load_language_model
    from sagsae.activations.language_models import load_tokenizer as load_tokenizer
    from sagsae.activations.store import Store as Store
    from sagsae.activations.stream import ActivationStream as ActivationStream
    from sagsae.activations.texts import dump as dump
    from sagsae.api import Trained as Trained
    from sagsae.api import evaluate as evaluate
    from sagsae.api import train as train
    from sagsae.autoencoders.base import Autoencoder as Autoencoder
    from sagsae.comparison.dominance import Comparison as Comparison
    from sagsae.comparison.dominance import compare as compare
    from sagsae.comparison.scaling import scaling as scaling
    from sagsae.comparison.sweeps import Sweep as Sweep
    from sagsae.evaluation.interventions import kept_positions as kept_positions
    from sagsae.evaluation.interventions import loss_recovered as loss_recovered
    from sagsae.evaluation.interventions import replaced as replaced
    from sagsae.evaluation.interventions import splice as splice
    from sagsae.evaluation.interventions import steer as steer
    from sagsae.evaluation.signs import consistency as consistency
    from sagsae.evaluation.signs import poles as poles
    from sagsae.evaluation.signs import signed_pairs as signed_pairs
    from sagsae.exchange.loading import load as load
    from sagsae.exchange.saelens import export_saelens as export_saelens
    from sagsae.exchange.transcoders import export_circuit_tracer as export_circuit_tracer
    from sagsae.result_files import results as results
    from sagsae.synthetic.features import KnownFeatures as KnownFeatures
    from sagsae.synthetic.truth import judged as judged
    from sagsae.training.recipe import Recipe as Recipe

__version__ = "0.2.0"
_NAMES = {
    "activations.hookpoints": "Hookpoint default_hookpoints",
    "activations.language_models": "load_language_model load_tokenizer",
    "activations.store": "Store",
    "activations.stream": "ActivationStream",
    "activations.texts": "dump",
    "api": "Trained evaluate train",
    "autoencoders.base": "Autoencoder",
    "comparison.dominance": "Comparison compare",
    "comparison.scaling": "scaling",
    "comparison.sweeps": "Sweep",
    "evaluation.interventions": "kept_positions loss_recovered replaced splice steer",
    "evaluation.signs": "consistency poles signed_pairs",
    "exchange.loading": "load",
    "exchange.saelens": "export_saelens",
    "exchange.transcoders": "export_circuit_tracer",
    "result_files": "results",
    "synthetic.features": "KnownFeatures",
    "synthetic.truth": "judged",
    "training.recipe": "Recipe",
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
