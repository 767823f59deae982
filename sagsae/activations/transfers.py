"""Copies between a GPU and the host that run beside what the GPU computes.

On a CUDA device they take a stream of their own and pinned memory of the host. On a CPU they are
plain copies, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

# Share of a GPU's free memory that rows may take.
SHARE = 1 / 3


class SideStream:
    """Sends tensors from or to a device.

    Args:
        device: where the model or the trainer computes.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.on_gpu = self.device.type == "cuda"
        self._stream = torch.cuda.Stream(self.device) if self.on_gpu else None

    def fits(self, size: int) -> bool:
        """Whether so many bytes may stay on a GPU, beside what is computed there."""
        return self.on_gpu and size <= SHARE * torch.cuda.mem_get_info(self.device)[0]

    def host_memory(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory of the host that the device can copy to and from by itself."""
        return torch.empty(shape, dtype=dtype, pin_memory=self.on_gpu)

    def send(self, x: Tensor) -> Tensor:
        """A host tensor on the device, ordered before what the device is asked to compute next.

        The host does not wait.
        """
        if not self.on_gpu:
            return x
        return x.pin_memory().to(self.device, non_blocking=True)

    def fetch(self, copies: Iterable[tuple[Tensor, Tensor]]) -> Callable[[], None]:
        """Copy tensors of the device to the host, after what the device was asked to compute.

        Args:
            copies: pairs of a target in `host_memory` and its source, of one shape. A source is
                converted to the dtype of its target where it is.

        Returns:
            What waits until the targets may be read. The sources may be given up at once.
        """
        if self._stream is None:
            for target, source in copies:
                target.copy_(source)
            return lambda: None
        converted = [(target, source.to(target.dtype)) for target, source in copies]
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            for target, source in converted:
                target.copy_(source, non_blocking=True)
                source.record_stream(self._stream)
            event = torch.cuda.Event()
            event.record(self._stream)
        return event.synchronize

    def deliver(self, *tensors: Tensor) -> list[Tensor]:
        """Copy tensors in `host_memory` to the device; this thread waits, the device does not.

        Whoever computes with them calls `keep_for_computing` first.
        """
        if self._stream is None:
            return list(tensors)
        with torch.cuda.stream(self._stream):
            copies = [x.to(self.device, non_blocking=True) for x in tensors]
        self._stream.synchronize()
        return copies

    def keep_for_computing(self, *tensors: Tensor) -> None:
        """Keep the memory of delivered tensors until what computes with them now has finished."""
        if self._stream is not None:
            for x in tensors:
                x.record_stream(torch.cuda.current_stream(self.device))
