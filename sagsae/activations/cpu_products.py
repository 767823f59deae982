"""Products on a CPU: its kind, the number of threads, and bfloat16 that is not in hardware.

Without AVX512, PyTorch multiplies bfloat16 in a plain loop, some sixty times slower than float32.
`multiply_in_float32` has the products taken in float32 and the results rounded to bfloat16. That is
what hardware does, up to the order of the sums.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import torch
from torch import Tensor, nn

# Weights that are converted to float32 at once. Four megabytes stay in the cache, and the model
# takes no more memory.
WEIGHTS_AT_ONCE = 2**20


@contextmanager
def threads_of_torch(number: int) -> Iterator[None]:
    """PyTorch on so many threads. On one, sums have one order and no bit depends on the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class CpuKind(StrEnum):
    """How a CPU multiplies bfloat16. Dtypes and paths of a training step follow from it."""

    AMX = "AMX"
    """In hardware, by tiles: many times as fast as float32."""
    AVX512_BF16 = "AVX512-BF16"
    """In hardware, without tiles."""
    NO_BFLOAT16 = "no bfloat16"
    """Not in hardware."""


KIND_VARIABLE = "SAGSAE_CPU_KIND"
"""Environment variable that names a kind, to compute on this machine as one of that kind does."""


def cpu_kind() -> CpuKind:
    """The kind of this machine's CPU, unless `KIND_VARIABLE` names another.

    Everything that depends on the kind of CPU asks here.

    Raises:
        ValueError: the variable names no kind.
    """
    if name := os.environ.get(KIND_VARIABLE):
        if name not in [*CpuKind]:
            raise ValueError(f"{KIND_VARIABLE}={name}: it may be {', '.join(CpuKind)}, or unset")
        return CpuKind(name)
    if not torch.cpu._is_avx512_bf16_supported():
        return CpuKind.NO_BFLOAT16
    return CpuKind.AMX if torch.cpu._is_amx_tile_supported() else CpuKind.AVX512_BF16


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware."""
    return cpu_kind() != CpuKind.NO_BFLOAT16


class Float32Conv1D(nn.Module):
    """GPT-2's layer, Transformers' Conv1D, of bfloat16 weights [in, out], as `Float32Linear`."""

    weight: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """[..., out] bfloat16 of x [..., in] bfloat16."""
        return (x.float() @ self.weight.float() + self.bias.float()).to(x.dtype)


class Float32Linear(nn.Linear):
    """A layer of bfloat16 weights [out, in] whose products are taken in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., out] bfloat16 of x [..., in] bfloat16."""
        wide, out = x.float(), x.new_empty(*x.shape[:-1], self.out_features)
        rows = max(1, WEIGHTS_AT_ONCE // self.in_features)
        bias = None if self.bias is None else self.bias.float()
        for first in range(0, self.out_features, rows):
            some = slice(first, first + rows)
            part = None if bias is None else bias[some]
            out[..., some] = nn.functional.linear(wide, self.weight[some].float(), part)
        return out


def multiply_in_float32(model: nn.Module) -> None:
    """Have the linear layers of a bfloat16 model multiply in float32; its weights stay as they are.

    Args:
        model: changed in place. Layers of other dtypes are left alone, as is attention, which
            PyTorch does not compute in a plain loop.
    """
    from transformers.pytorch_utils import Conv1D

    classes = {nn.Linear: Float32Linear, Conv1D: Float32Conv1D}
    for module in model.modules():
        own = classes.get(type(module))
        if own is not None and module.weight.dtype == torch.bfloat16:
            module.__class__ = own
