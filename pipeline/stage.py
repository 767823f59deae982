"""What every stage does around its work: one clear line for an expected failure, the device."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; the failures that users meet become one message and exit status 1.

    Set SAGSAE_TRACEBACK=1 to see where such a failure arose.
    """
    if os.environ.get("SAGSAE_TRACEBACK"):
        main()
        return
    try:
        main()
    except OSError as error:
        sys.exit(f"error: {_explain(error)}")
    except (ValueError, RuntimeError, MemoryError) as error:
        sys.exit(f"error: {type(error).__name__}: {error}")


def _explain(error: OSError) -> str:
    remedy = {
        errno.ENOSPC: "the disk is full: free some space and run the same command again",
        errno.EROFS: "the file system is read-only: choose another results folder",
        errno.EACCES: "permission denied: make the folder writable or choose another",
        errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    }.get(error.errno or 0, "")
    return f"{error}" + (f": {remedy}" if remedy else "")


def put_interpreter_first() -> None:
    """Make ``python`` mean the running interpreter in every command started from here."""
    folder = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])


def device_of(choice: str) -> torch.device:
    """The device a stage computes on: CUDA device 0 of those visible, or the CPU.

    The GPU lease narrows CUDA_VISIBLE_DEVICES to one device before the stage starts.

    Raises:
        ValueError: CUDA was demanded and there is none.
    """
    import torch

    available = torch.cuda.is_available() and torch.cuda.device_count() > 0
    if choice == "cuda" and not available:
        raise ValueError("device cuda was asked for and PyTorch sees no GPU: use auto or cpu")
    return torch.device("cuda" if available and choice != "cpu" else "cpu")
