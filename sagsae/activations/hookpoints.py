"""Where activations are read and replaced in a language model.

A hookpoint is the output of one module, so that putting an unchanged output back is exact.
Models that normalise after a module (Gemma 2 and 3) therefore have `mlp_out` and `attn` before
that normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

_LLAMA = ("llama", "smollm3", "gemma2", "gemma3_text", "mistral", "qwen2", "qwen3")
# Of each architecture: the list of its blocks, and what attention and MLP are called in a block.
# The MLP of OPT is no module of its own.
_MODULES = {
    "gpt2": ("transformer.h", "attn", "mlp"),
    "gpt_neox": ("gpt_neox.layers", "attention", "mlp"),
    "opt": ("model.decoder.layers", "self_attn", ""),
    **dict.fromkeys(_LLAMA, ("model.layers", "self_attn", "mlp")),
}


@dataclass(frozen=True)
class Hookpoint:
    """A name for the output of one module.

    Attributes:
        name: what stores, tables and figures call it, for example `mlp_out`.
        module: dotted path below the model, for example `model.layers.15.mlp`.
    """

    name: str
    module: str


class _AllCapturedError(Exception):
    """Ends a forward pass of which everything wanted is known."""


def default_hookpoints(model_type: str, layer: int) -> dict[str, Hookpoint]:
    """`mlp_out`, `attn` and `resid` of one layer, for the architectures known here.

    OPT has no `mlp_out`.

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
    modules = {"mlp_out": mlp and f"{block}.{mlp}", "attn": f"{block}.{attention}", "resid": block}
    return {name: Hookpoint(name, module) for name, module in modules.items() if module}


def resolve(model: nn.Module, hookpoints: Mapping[str, Hookpoint]) -> dict[str, nn.Module]:
    """The module of every hookpoint.

    Raises:
        ValueError: a path leads nowhere.
    """
    try:
        return {name: model.get_submodule(point.module) for name, point in hookpoints.items()}
    except AttributeError as error:
        paths = ", ".join(point.module for point in hookpoints.values())
        raise ValueError(f"hookpoints {paths}: {error}; name other modules") from None


@contextmanager
def capture(
    model: nn.Module, hookpoints: Mapping[str, Hookpoint], early_exit: bool = True
) -> Iterator[dict[str, Tensor]]:
    """Record the output of every hookpoint, [batch, ctx, d], in the model's own dtype.

    Yields a dictionary that each forward pass of `model` empties and fills again. With
    `early_exit` the pass ends as soon as every hookpoint has fired: call the model through
    `run_captured`, which knows about that.
    """
    modules = resolve(model, hookpoints)
    captured: dict[str, Tensor] = {}

    def record(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        captured[name] = _tensor_of(output, hookpoints[name])
        if early_exit and len(captured) == len(modules):
            raise _AllCapturedError

    with ExitStack() as stack:
        stack.enter_context(model.register_forward_pre_hook(lambda *_: captured.clear()))
        for name, module in modules.items():
            stack.enter_context(module.register_forward_hook(partial(record, name)))
        yield captured


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
    """Put `replace(x)` in place of the hookpoint's output in every forward pass.

    Args:
        model: the language model.
        hookpoint: whose output is replaced; the rest of a tuple output is kept.
        replace: maps x [batch, ctx, d] to a tensor of the same shape, dtype and device.

    Raises:
        ValueError: (in the forward pass) `replace` returned another shape, dtype or device.
    """
    (module,) = resolve(model, {hookpoint.name: hookpoint}).values()

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        x = _tensor_of(output, hookpoint)
        new = replace(x)
        if (new.shape, new.dtype, new.device) != (x.shape, x.dtype, x.device):
            raise ValueError(
                f"splice at {hookpoint.name!r}: the replacement is {_describe(new)} where the "
                f"model needs {_describe(x)}; convert it inside `replace`"
            )
        return (new, *output[1:]) if isinstance(output, tuple) else new

    with module.register_forward_hook(hook):
        yield


def _tensor_of(output: Any, hookpoint: Hookpoint) -> Tensor:
    x = output[0] if isinstance(output, tuple) else output
    if not isinstance(x, Tensor) or x.ndim != 3:
        raise ValueError(
            f"hookpoint {hookpoint.name!r} ({hookpoint.module}) gives "
            f"{_describe(x) if isinstance(x, Tensor) else type(x).__name__}, not a tensor "
            "[batch, ctx, d]; choose another module"
        )
    return x


def _describe(x: Tensor) -> str:
    return f"{tuple(x.shape)} {x.dtype} on {x.device}"
