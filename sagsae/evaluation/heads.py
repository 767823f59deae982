"""The end of a forward pass: hidden states of the last block, and the model's own head on them.

The head runs on a bounded number of rows at once, so that memory is bounded whatever the
vocabulary. It is the model's own, soft caps and scales included.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sagsae.evaluation.resume import forward_replaced

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
