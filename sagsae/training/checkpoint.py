"""A training run's state on disk: one safetensors file, replaced atomically, never unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sagsae.files import whole_file


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and a JSON state; a crash leaves the checkpoint before this one intact."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with whole_file(path) as partial:
        save_file(plain, str(partial), metadata={"state": json.dumps(state, sort_keys=True)})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Inverse of ``save_checkpoint``.

    Raises:
        ValueError: damaged or not a checkpoint; the message names the file.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
        return load_file(str(path)), state
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: damaged ({error}): delete it, and training starts over"
        ) from None
