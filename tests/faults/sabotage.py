"""What is done to a stage before it starts: real limits of memory, and a GPU's refusal played.

A sabotage is a line of words: a function of ``KINDS`` and its arguments. A place is written
``module:qualified.name``.
"""

from __future__ import annotations

import functools
import importlib
import os
import resource
import time
from collections.abc import Callable
from typing import Any

import torch

MARGIN = 2**20
"""Bytes that a starved stage still gets, for what is small."""
CUDA_MESSAGE = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of "
    "which 1.25 GiB is free. Process 4711 has 77.85 GiB memory in use. Of the allocated memory "
    "76.90 GiB is allocated by PyTorch, and 350.00 MiB is reserved by PyTorch but unallocated. If "
    "reserved but unallocated memory is large try setting "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)


def limit(size: str) -> None:
    """Allow the process so many bytes more than it has now; the kernel refuses the rest."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + int(size), resource.RLIM_INFINITY))


def starve(place: str, call: str) -> None:
    """No more memory from the moment of the n-th call of a function on."""
    _at(place, int(call), lambda: limit(str(MARGIN)))


def fill_gpu(place: str, call: str) -> None:
    """The n-th call of a function meets a GPU without memory."""

    def refuse() -> None:
        raise torch.OutOfMemoryError(CUDA_MESSAGE)

    _at(place, int(call), refuse)


def hurry() -> None:
    """No pauses between two attempts at a download."""
    time.sleep = lambda seconds: None


KINDS: dict[str, Callable[..., None]] = {
    function.__name__: function for function in (limit, starve, fill_gpu, hurry)
}


def prepare(line: str) -> None:
    """Do what ``line`` says; an empty one does nothing."""
    if line:
        kind, *arguments = line.split()
        KINDS[kind](*arguments)


def _at(place: str, number: int, act: Callable[[], None]) -> None:
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    original, calls = getattr(owner, name), 0

    @functools.wraps(original)
    def watched(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            act()
        return original(*arguments, **named)

    setattr(owner, name, watched)
