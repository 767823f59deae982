"""Where activations are read and replaced in a language model.

A hookpoint is the output of one module, or its input, so that putting an unchanged tensor back is
exact. Models that normalise after a module (Gemma 2 and 3) therefore have `mlp_out` and `attn`
before that normalisation, and `mlp_added` and `attn_added` after it: what the residual stream gets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_LLAMA = ("llama", "smollm3", "gemma2", "gemma3_text", "mistral", "qwen2", "qwen3")
# Of each architecture: the list of its blocks, and what attention and MLP are called in a block.
# The MLP of OPT is no module of its own.
_MODULES = {
    "gpt2": ("transformer.h", "attn", "mlp"),
    "gpt_neox": ("gpt_neox.layers", "attention", "mlp"),
    "opt": ("model.decoder.layers", "self_attn", ""),
    **dict.fromkeys(_LLAMA, ("model.layers", "self_attn", "mlp")),
}
# Of architectures that normalise what attention and MLP give: the modules that do so.
_AFTER = dict.fromkeys(
    ("gemma2", "gemma3_text"), ("post_attention_layernorm", "post_feedforward_layernorm")
)
# Ends the path of a module whose input is meant.
_INPUT = ":input"
# A name of `default_hookpoints`, and the layer before it where a store has several.
_NAME = re.compile(r"(?:l(?P<layer>[0-9]+)\.)?(?P<name>\w+)")


@dataclass(frozen=True)
class Hookpoint:
    """A name for the output of one module, or for its input.

    Attributes:
        name: what stores, tables and figures call it, for example `mlp_out`.
        module: dotted path below the model, for example `model.layers.15.mlp`.
        input: whether it is the module's input: its first argument, or `hidden_states`.
    """

    name: str
    module: str
    input: bool = False

    @classmethod
    def at(cls, name: str, path: str) -> Self:
        """The hookpoint of a `path`."""
        return cls(name, path.removesuffix(_INPUT), path.endswith(_INPUT))

    @property
    def path(self) -> str:
        """The module, and behind it `:input` where its input is meant."""
        return self.module + _INPUT * self.input


class _AllCapturedError(Exception):
    """Ends a forward pass of which everything wanted is known."""


def default_hookpoints(model_type: str, layer: int) -> dict[str, Hookpoint]:
    """Hookpoints of one layer by name, for the architectures known here.

    `mlp_in` and `mlp_out` are input and output of the MLP, `attn` is the output of attention and
    `resid` that of the block; `mlp_added` and `attn_added` are what MLP and attention add to the
    residual stream. The MLP of OPT has none.

    Args:
        model_type: `model.config.model_type` of Transformers.
        layer: index of the block, from 0.

    Raises:
        ValueError: the architecture is not known; name its modules with `Hookpoint`.
    """
    if model_type not in _MODULES:
        raise ValueError(
            f"no default hookpoints for model type {model_type!r} (known: "
            f"{', '.join(sorted(_MODULES))}); name the modules yourself, for example "
            f"Hookpoint('mlp_out', 'model.layers.{layer}.mlp')"
        )
    blocks, attention, mlp = _MODULES[model_type]
    block = f"{blocks}.{layer}"
    attention_adds, mlp_adds = _AFTER.get(model_type, (attention, mlp))
    own = {"attn": attention, "attn_added": attention_adds}
    if mlp:
        own |= {"mlp_in": mlp + _INPUT, "mlp_out": mlp, "mlp_added": mlp_adds}
    paths = {name: f"{block}.{module}" for name, module in own.items()} | {"resid": block}
    return {name: Hookpoint.at(name, path) for name, path in paths.items()}


def layer_of(hookpoint: str, layer: int | None = None) -> int | None:
    """The layer before a name, as in ``l5.resid``; ``layer`` where there is none."""
    found = _NAME.fullmatch(hookpoint)
    return int(found["layer"]) if found and found["layer"] else layer


def ends_of(provenance: Mapping[str, Any], layer: int) -> tuple[str, str]:
    """What a transcoder reads and what it predicts, as its provenance says, without a layer.

    Raises:
        ValueError: it is of another layer.
    """
    source, target = (str(provenance.get(end, "")) for end in ("hookpoint", "target"))
    own = {layer_of(name, provenance.get("layer")) for name in (source, target)}
    if other := own - {None, layer}:
        raise ValueError(
            f"layer {layer}: this transcoder was trained on layer {other.pop()}, from {source} to "
            f"{target}; give it under that layer"
        )
    return source.rpartition(".")[2], target.rpartition(".")[2]


def hookpoint_of(model: Any, hookpoint: Hookpoint | str, layer: int | None = None) -> Hookpoint:
    """A hookpoint by any of its names.

    Args:
        model: a causal language model of Transformers.
        hookpoint: itself; or a name that `default_hookpoints` knows, of the block ``layer`` or with
            its layer before it, as in "l5.resid"; or, without a layer, the dotted path of a module,
            and behind it ":input" where its input is meant.
        layer: index of the block, from 0.

    Raises:
        ValueError: a layer beside what is no such name, or with another one in the name.
    """
    if isinstance(hookpoint, Hookpoint):
        return hookpoint
    own = layer_of(hookpoint, layer)
    if own is None:
        return Hookpoint.at(hookpoint, hookpoint)
    if layer not in (None, own):
        raise ValueError(f"hookpoint {hookpoint!r} is not of layer {layer}")
    known, name = default_hookpoints(model.config.model_type, own), hookpoint.rpartition(".")[2]
    if name not in known or not _NAME.fullmatch(hookpoint):
        raise ValueError(f"no hookpoint {hookpoint!r}: choose from {', '.join(known)}")
    return replace(known[name], name=hookpoint)


def resolve(model: nn.Module, hookpoints: Mapping[str, Hookpoint]) -> dict[str, nn.Module]:
    """The module of every hookpoint.

    Raises:
        ValueError: a path leads nowhere.
    """
    try:
        return {name: model.get_submodule(point.module) for name, point in hookpoints.items()}
    except AttributeError as error:
        paths = ", ".join(point.path for point in hookpoints.values())
        raise ValueError(
            f"hookpoints {paths}: {error}; name other modules, or the layer of a hookpoint"
        ) from None


@contextmanager
def capture(
    model: nn.Module, hookpoints: Mapping[str, Hookpoint], early_exit: bool = True
) -> Iterator[dict[str, Tensor]]:
    """Record the activations at every hookpoint, [batch, ctx, d], in the model's own dtype.

    Yields a dictionary that each forward pass of `model` empties and fills again. With
    `early_exit` the pass ends as soon as every hookpoint has fired: call the model through
    `run_captured`, which knows about that.
    """
    modules = resolve(model, hookpoints)
    captured: dict[str, Tensor] = {}

    def record(name: str, x: Tensor) -> Tensor:
        captured[name] = x
        if early_exit and len(captured) == len(modules):
            raise _AllCapturedError
        return x

    with ExitStack() as stack:
        stack.enter_context(model.register_forward_pre_hook(lambda *_: captured.clear()))
        for name, module in modules.items():
            stack.enter_context(_hooked(module, hookpoints[name], partial(record, name)))
        yield captured


def _hooked(
    module: nn.Module, hookpoint: Hookpoint, replace: Callable[[Tensor], Tensor]
) -> RemovableHandle:
    """Let `replace` see, and replace, the activations at a hookpoint of a module."""

    def at_input(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (replace(_tensor_of(args[0], hookpoint)), *args[1:]), kwargs
        x = _tensor_of(kwargs.get("hidden_states"), hookpoint)
        return args, kwargs | {"hidden_states": replace(x)}

    def at_output(module: nn.Module, inputs: Any, output: Any) -> Any:
        new = replace(_tensor_of(output, hookpoint))
        return (new, *output[1:]) if isinstance(output, tuple) else new

    if hookpoint.input:
        return module.register_forward_pre_hook(at_input, with_kwargs=True)
    return module.register_forward_hook(at_output)


def run_captured(model: nn.Module, input_ids: Tensor, **inputs: Any) -> Any:
    """One forward pass without gradients under `capture`.

    Args:
        model: a causal language model with a `capture` open.
        input_ids: [batch, ctx] integers on the model's device.
        inputs: further arguments of the model.

    Returns:
        None when the pass ended early, else the model's output.
    """
    with torch.no_grad():
        try:
            return model(input_ids=input_ids, use_cache=False, **inputs)
        except _AllCapturedError:
            return None


@contextmanager
def splice(
    model: nn.Module, hookpoint: Hookpoint, replace: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Put `replace(x)` in place of the activations at a hookpoint in every forward pass.

    Args:
        model: the language model.
        hookpoint: where; the rest of a tuple output, and other arguments, are kept.
        replace: maps x [batch, ctx, d] to a tensor of the same shape, dtype and device.

    Raises:
        ValueError: (in the forward pass) `replace` returned another shape, dtype or device.
    """
    (module,) = resolve(model, {hookpoint.name: hookpoint}).values()

    def checked(x: Tensor) -> Tensor:
        new = replace(x)
        if (new.shape, new.dtype, new.device) != (x.shape, x.dtype, x.device):
            raise ValueError(
                f"splice at {hookpoint.name!r}: the replacement is {_describe(new)} where the "
                f"model needs {_describe(x)}; convert it inside `replace`"
            )
        return new

    with _hooked(module, hookpoint, checked):
        yield


def _tensor_of(value: Any, hookpoint: Hookpoint) -> Tensor:
    x = value[0] if isinstance(value, tuple) else value
    if not isinstance(x, Tensor) or x.ndim != 3:
        raise ValueError(
            f"hookpoint {hookpoint.name!r} ({hookpoint.path}) gives "
            f"{_describe(x) if isinstance(x, Tensor) else type(x).__name__}, not a tensor "
            "[batch, ctx, d]; choose another module"
        )
    return x


def _describe(x: Tensor) -> str:
    return f"{tuple(x.shape)} {x.dtype} on {x.device}"
