"""Parts of a forward pass: the blocks from one onwards, and the head alone.

The blocks are given the hidden states that enter the first of them. The surrounding model still
embeds the tokens and prepares masks and rotary embeddings, whatever its architecture; only the
blocks below are skipped. Whether that reproduces the whole forward pass is for the caller to verify
on each model: architectures whose blocks exchange more than hidden states (shared keys and values,
per-layer inputs) do not qualify.

The head runs on a bounded number of rows at once, so that memory is bounded whatever the
vocabulary. It is the model's own, soft caps and scales included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn


def find_blocks(model: Any) -> str:
    """Dotted path of the list of blocks: the one ModuleList of `num_hidden_layers` modules.

    Raises:
        ValueError: there is no such list, or more than one.
    """
    wanted = model.config.get_text_config().num_hidden_layers
    lists = {n: module for n, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    found: list[str] = [name for name, blocks in lists.items() if len(blocks) == wanted]
    if len(found) != 1:
        raise ValueError(
            f"{type(model).__name__} has {len(found)} module lists of {wanted} blocks "
            f"({', '.join(found) or 'none'}); its blocks cannot be told"
        )
    return found[0]


def runs_from(blocks: str, layer: int, module: str) -> bool:
    """Whether a module, by dotted path, lies in block `layer` or above, so that it still runs."""
    if not module.startswith(f"{blocks}."):
        return False
    index = module.removeprefix(f"{blocks}.").split(".")[0]
    return index.isdigit() and int(index) >= layer


@contextmanager
def forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let `forward` stand in for the module's own; hooks on the module keep firing."""
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


@contextmanager
def record_entry(model: Any, blocks: str, layer: int) -> Iterator[list[Tensor]]:
    """Append the hidden states [B, L, d] that enter block `layer` at every forward pass."""
    entered: list[Tensor] = []

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entered.append(kwargs["hidden_states"] if "hidden_states" in kwargs else args[0])

    block = model.get_submodule(blocks)[layer]
    with block.register_forward_pre_hook(hook, with_kwargs=True):
        yield entered


@contextmanager
def resume_from(model: Any, blocks: str, layer: int, hidden: Tensor) -> Iterator[None]:
    """Skip blocks 0 to `layer - 1` and feed `hidden` to block `layer`.

    Forward passes inside must be given the input ids that `hidden` was computed from.

    Args:
        model: a Transformers causal language model.
        blocks: dotted path of its list of blocks, see `find_blocks`.
        layer: first block that runs.
        hidden: [B, L, d] in the model's dtype and on its device, see `record_entry`.
    """

    def skip(*args: Any, **kwargs: Any) -> Tensor:
        # A tensor serves models that expect a tuple too: they take item 0, a slice along the
        # batch, and the next skipped block, or the hook below, ignores what it is handed.
        return hidden

    def feed(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if "hidden_states" in kwargs:
            return args, {**kwargs, "hidden_states": hidden}
        return (hidden, *args[1:]), kwargs

    modules = model.get_submodule(blocks)
    with ExitStack() as stack:
        for block in modules[:layer]:
            stack.enter_context(forward_replaced(block, skip))
        stack.enter_context(modules[layer].register_forward_pre_hook(feed, with_kwargs=True))
        yield


# Logits the head computes at once, in the model's dtype; bounds memory whatever the vocabulary.
LOGITS_PER_HEAD = 2**26

# Logits that a CPU converts to float32 at once. A megabyte stays in its cache: five times as fast.
# A GPU takes all that the head computed at once.
LOGITS_PER_SOFTMAX = 2**18


def trunk_output(model: Any, input_ids: Tensor) -> Any:
    """What the model gives to its head: an output with ``last_hidden_state`` [B, L, d].

    Args:
        model: a Transformers causal language model; hooks on its modules are in force.
        input_ids: [B, L] int64, no padding.

    Raises:
        ValueError: the model has no head.
    """
    trunk = model.get_decoder()
    if model.get_output_embeddings() is None:
        raise ValueError(f"{type(model).__name__} has no head; load it as a causal language model")
    return trunk(input_ids=input_ids, use_cache=False)


def head_logits(model: Any, output: type, rows: Tensor) -> Tensor:
    """[N, V] logits, in the model's dtype, of rows [N, d] of ``last_hidden_state``.

    Args:
        model: a Transformers causal language model.
        output: type of what `trunk_output` gave.
        rows: at most `rows_per_head` of them.
    """

    def given(*args: Any, **kwargs: Any) -> Any:
        return output(last_hidden_state=rows[None])

    with forward_replaced(model.get_decoder(), given):
        # Not a call: hooks on the whole model mark forward passes, and this is not one.
        logits: Tensor = model.forward(inputs_embeds=rows[None], use_cache=False).logits[0]
    return logits


def rows_per_head(model: Any) -> int:
    """Rows whose logits are computed at once."""
    return max(1, LOGITS_PER_HEAD // int(model.get_output_embeddings().weight.shape[0]))


def rows_per_softmax(logits: Tensor) -> int:
    """Rows of logits [..., V] that are converted to float32 at once."""
    together = LOGITS_PER_SOFTMAX if logits.device.type == "cpu" else logits.numel()
    return max(1, together // logits.shape[-1])
