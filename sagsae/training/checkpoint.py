"""A training run's state on disk: one safetensors file that checks itself.

It is written whole, or the one before it stays. It carries the sha256 of its own content, because
safetensors notices a torn file but not an altered one, and says which run it belongs to. Nothing is
unpickled.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, uint8

from sagsae.files import write_atomic

# What the header of a checkpoint holds. A damaged one still has two of them; no other file has.
MARKS, HEADER = (b'"__metadata__":{', b'"sha256":"', b'"state":"{'), 1 << 22
State = tuple[dict[str, Tensor], dict[str, Any]]


class OtherRunError(ValueError):
    """A checkpoint belongs to another run; the message names the file and what differs."""

    def __init__(self, path: Path, fault: str):
        super().__init__(
            f"checkpoint {path} belongs to another run ({fault}): repeat the arguments of that run "
            "to continue it; or name another file or delete this one, to start a new run"
        )


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and a JSON state.

    A crash at any instant leaves a whole checkpoint: this one, or the one before it.

    Raises:
        OSError, SafetensorError: it could not be written; what was there before still is.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(state, sort_keys=True)
    metadata = {"state": text, "sha256": _digest(plain, text)}
    write_atomic(path, save(plain, metadata))


def load_checkpoint(path: Path) -> State:
    """Inverse of ``save_checkpoint``.

    Raises:
        ValueError: absent, torn, altered, or not such a checkpoint; the message names the file.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if _digest(tensors, metadata["state"]) != metadata["sha256"]:
            raise ValueError("its content does not have the sha256 it was written with")
        return tensors, json.loads(metadata["state"])
    except (SafetensorError, KeyError, ValueError, OSError, RuntimeError) as error:
        raise ValueError(f"checkpoint {path} cannot be used ({error})") from None


def newest_checkpoint(path: Path) -> State | None:
    """The checkpoint at ``path``; None where there is none, or a damaged one.

    Damage is said on standard error: training starts again, and comes to the same weights.

    Raises:
        ValueError: a folder, or a file that is no checkpoint, which one would overwrite.
    """
    if not path.exists():
        return None
    if path.is_dir() or not _is_checkpoint(path):
        raise ValueError(
            f"{path} is no checkpoint of a training, and stays as it is: name another file"
        )
    try:
        return load_checkpoint(path)
    except ValueError as error:
        print(f"warning: {error}; training starts from the beginning", file=sys.stderr, flush=True)
        return None


def _is_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint, whole or damaged."""
    with path.open("rb") as file:
        header = file.read(HEADER)
    return sum(mark in header for mark in MARKS) > 1


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    """sha256 over names, types, shapes and bytes, and the state's text."""
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.reshape(-1).view(uint8).numpy().data)
    return found.hexdigest()
