"""Shares of the CPU: ranges of rows or latents among threads, and tensors as arrays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


class Threads:
    """Shares a range of rows or latents among as many threads as PyTorch uses."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, "step") if count > 1 else None

    def share(self, total: int, work: Callable[[int, int], T]) -> list[T]:
        """``work(first, last)`` on consecutive parts of ``range(total)``; results in order."""
        if self._pool is None:
            return [work(0, total)]
        edges = [total * part // self.count for part in range(self.count + 1)]
        return list(self._pool.map(work, edges[:-1], edges[1:]))


def total(parts: list[np.ndarray]) -> np.ndarray:
    """Sum of equally shaped arrays, in order."""
    added: np.ndarray = np.sum(parts, axis=0)
    return added


def as_array(tensor: Tensor) -> np.ndarray:
    """The tensor's memory; bfloat16 as its bits in uint16."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
