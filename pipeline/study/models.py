"""The language models of a study, and where they are tapped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import not_
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from pipeline.study.places import Place
from pipeline.study.sections import (
    Ascending,
    FieldFaults,
    HookpointName,
    ModulePath,
    Name,
    Natural,
    Section,
    Width,
)
from pipeline.study.sources import FeatureRows, ModelSource

# Those of a language model that names none of its own.
STANDARD_HOOKPOINTS = ("mlp_in", "mlp_out", "mlp_added", "attn", "attn_added", "resid")


class TappedModel(Section):
    """What a dump knows of a language model."""

    name: Name
    """Name used in paths and tables."""
    d_model: Width
    """Width of the residual stream; checked against the loaded model."""
    layer: Natural | None = Field(default=None, exclude_if=lambda layer: layer is None)
    """Index of the block whose hookpoints are dumped. Give this or layers."""
    layers: Annotated[list[Natural], Ascending] = Field(default_factory=list, exclude_if=not_)
    """Indices of several blocks, all dumped by one pass. Names of cells then have the layer:
    l5.resid."""
    hookpoints: dict[HookpointName, ModulePath] = Field(default_factory=dict)
    """Module path of each hookpoint, ``{layer}`` standing for the layer; ``:input`` behind a path
    means the input of the module, not its output. Empty: the known paths of the architecture
    (GPT-2, GPT-NeoX, OPT, Llama, SmolLM3, Gemma 3 and relatives)."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Arithmetic of the language model's forward passes. A CPU that cannot multiply bfloat16 takes
    products in float32 and rounds them to bfloat16."""
    like: str = Field(default="", exclude_if=not_)
    """A null: another model, of which all but the name is taken. The stores hold rows drawn from
    the Gaussian with mean and covariance of its training store. Losses are those of the other
    model, and say nothing of such rows."""

    @property
    def depths(self) -> list[int]:
        """Its layers, the lowest first."""
        return self.layers or [self.layer or 0]

    def depth(self, place: Place) -> int:
        """The layer of a place."""
        return self.depths[0] if place.layer is None else place.layer

    def places(self, hookpoints: Iterable[str]) -> list[Place]:
        """Its places at hookpoints of the configuration, one after the other."""
        layers: Sequence[int | None] = self.layers or [None]
        return [Place.of(hookpoint, layer) for hookpoint in hookpoints for layer in layers]

    def arrays(self, hookpoints: Iterable[str], *, predicted: bool = False) -> list[str]:
        """Names in its stores of what places read and predict, sorted; or of the latter alone."""
        places = self.places(hookpoints)
        read = [] if predicted else [place.reads for place in places]
        return sorted({*read, *(place.predicts for place in places)})


def place_names(models: Iterable[TappedModel], hookpoints: Iterable[str]) -> list[str]:
    """Names of the places of some models: hookpoint by hookpoint, the lowest layer first."""
    names = []
    for hookpoint in hookpoints:
        places = {place for model in models for place in model.places([hookpoint])}
        names += [place.name for place in sorted(places, key=lambda place: place.layer or 0)]
    return names


class Model(TappedModel):
    """One language model of the study and where it is tapped."""

    model_config = ConfigDict(json_schema_extra={"required": ["name"]})  # beside ``like``

    source: ModelSource
    """Where the model comes from."""
    start_token: Literal["bos", "eos", "none"] = "bos"
    """Special token that every context begins with; its position is never trained on."""

    @model_validator(mode="after")
    def _layers_of_language_models(self) -> Self:
        if self.drawn and (self.layer is not None or self.layers):
            raise FieldFaults([("layer", "rows of known features have none: leave it out")])
        if not self.drawn and (self.layer is None) == (not self.layers):
            raise FieldFaults([("layer", "give exactly one of layer and layers")])
        return self

    @property
    def known_hookpoints(self) -> Iterable[str]:
        """Names that a configuration may give."""
        return ["rows"] if self.drawn else self.hookpoints or STANDARD_HOOKPOINTS

    @property
    def drawn(self) -> FeatureRows | None:
        """Where its rows come from that have known features; None of a language model."""
        return self.source if isinstance(self.source, FeatureRows) else None


def like_others(entries: Any) -> Any:
    """Models as they are given; those that are like another one with all that is taken from it."""
    if not isinstance(entries, list):
        return entries
    given = [one if isinstance(one, dict) else {} for one in entries]
    real = {str(one.get("name")): one for one in given if not one.get("like")}
    whole, faults = [], []
    for i, one in enumerate(given):
        like, other = one.get("like"), real.get(str(one.get("like")), {})
        if like and not other:
            faults.append((f"{i}.like", f"unknown {like!r}; known are {', '.join(real)}"))
        own = [key for key in one if key not in ("name", "like") and one[key] != other.get(key)]
        if like and other and own:
            faults.append((f"{i}.like", f"{', '.join(own)}: taken from {like}, leave it out"))
        whole.append(other | one if like else entries[i])
    if faults:
        raise FieldFaults(faults)
    return whole
