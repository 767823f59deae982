"""Backward passes of fake tensors, for which PyTorch's engine would ask the driver for a device."""

from __future__ import annotations

from collections import defaultdict
from graphlib import TopologicalSorter
from typing import Any

import torch
from torch import Tensor


def backward(total: Tensor) -> None:
    """As `torch.autograd.backward`, node by node: gradients are added to those of the parameters.

    Raises:
        AssertionError: a gradient lies on another device than what it is of.
    """
    sorter: TopologicalSorter[Any] = TopologicalSorter()
    found = [total.grad_fn]
    for node in found:
        after = [node for node, _ in node.next_functions if node is not None]
        sorter.add(node, *after)
        found += [node for node in after if node not in found]
    gradients: dict[Any, dict[int, Tensor]] = defaultdict(dict)
    gradients[total.grad_fn][0] = torch.ones_like(total)
    with torch.no_grad():
        for node in reversed(list(sorter.static_order())):
            given = gradients.pop(node)
            if hasattr(node, "variable"):
                node.variable.grad.add_(given[0])
            else:
                _pass_on(node, given, gradients)


def _pass_on(node: Any, given: dict[int, Tensor], gradients: dict[Any, dict[int, Tensor]]) -> None:
    """Add the gradients of a node's inputs to those of the nodes that made them."""
    results = getattr(node, "apply", node)(*map(given.get, range(len(node._input_metadata))))
    results = results if isinstance(results, tuple) else (results,)
    for (maker, place), gradient in zip(node.next_functions, results, strict=False):
        if maker is None or gradient is None:
            continue
        like = maker._input_metadata[place]
        assert gradient.device == like.device, f"{node.name()}: {gradient.device}"
        gradient = gradient.sum_to_size(like.shape).to(like.dtype)
        before = gradients[maker].get(place)
        gradients[maker][place] = gradient if before is None else before + gradient
