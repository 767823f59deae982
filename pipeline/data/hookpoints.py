"""From a model's section of the configuration to the modules that are tapped."""

from __future__ import annotations

from pipeline.study.sources import TappedModel
from sagsae.activations.hookpoints import Hookpoint, default_hookpoints
from sagsae.activations.store import Store


def hookpoints_of(model: TappedModel, names: list[str], model_type: str) -> dict[str, Hookpoint]:
    """The study's hookpoints of one model, in the study's order.

    Args:
        model: The model's section; ``hookpoints`` templates override the architecture's own.
        names: Hookpoints of the study.
        model_type: Transformers model type, for the known module paths.

    Raises:
        ValueError: no path is known; the message says which key to add.
    """
    layer, given = model.layer, model.hookpoints
    if given:
        # Not str.format: a template could then reach into the objects it is given.
        return {n: Hookpoint(n, given[n].replace("{layer}", str(layer))) for n in names}
    try:
        known = default_hookpoints(model_type, layer)
        return {name: known[name] for name in names}
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"model {model.name}: {error}; name its modules under models[].hookpoints, "
            "for example resid: model.layers.{layer}"
        ) from None


def stored_hookpoints(store: Store, names: list[str]) -> dict[str, Hookpoint]:
    """The modules that a store was dumped from."""
    modules = store.config.provenance["dump"]["modules"]
    return {name: Hookpoint(name, modules[name]) for name in names}
