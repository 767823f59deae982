"""Language models and their tokenizers, from folders written by ``save_pretrained``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagsae.activations.cpu_products import has_bfloat16, multiply_in_float32
from sagsae.files import canonical_json, digest

VOCABULARY_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
# How SentencePiece writes a space; decoding a single token may drop it.
START_OF_WORD = "\u2581"


class LanguageModelError(ValueError):
    """A folder that does not hold a usable model or tokenizer; the message names it."""


def check_model_folder(folder: str | Path) -> Path:
    """The folder as a path, if it holds a configuration and safetensors weights.

    Raises:
        LanguageModelError: it does not; pickled weights alone are not accepted.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        problem = "no model folder, with a config.json; check the path, or save the model there"
    elif not any(folder.glob("*.safetensors")):
        problem = (
            "there are no *.safetensors weights in this folder, and pickled weights are not read; "
            "load the model elsewhere and save it with save_pretrained"
        )
    else:
        return folder
    raise LanguageModelError(f"{folder}: {problem}")


def load_language_model(
    folder: str | Path,
    dtype: torch.dtype | str = torch.bfloat16,
    device: torch.device | str = "cpu",
) -> Any:
    """Load a causal language model for inference.

    Transformers picks the attention kernel: PyTorch's scaled dot product where the architecture
    supports it. On a CPU that cannot multiply bfloat16, linear layers multiply in float32 and round
    the results to bfloat16. Unlike Transformers, a weight that is missing from the files, or has
    another shape there, is an error: it would be filled with random numbers.

    Args:
        folder: written by ``save_pretrained``; nothing is looked up on the network.
        dtype: arithmetic and storage of the weights, e.g. ``torch.bfloat16`` or "float32".
        device: where to put it.

    Returns:
        The model in eval mode, with gradients of its weights switched off.

    Raises:
        LanguageModelError: the folder is no model, or its files are damaged or incomplete.
    """
    from transformers import AutoModelForCausalLM  # seconds, which a cell of other rows saves
    from transformers.utils.logging import disable_progress_bar

    folder = check_model_folder(folder)
    disable_progress_bar()
    weights = _weights(folder)
    with _explained(
        folder,
        "the model cannot be loaded",
        f"check config.json and {weights}, or make the folder again",
    ):
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    require_complete(info, folder, weights)
    model = model.requires_grad_(False).eval().to(device)
    if model.device.type == "cpu" and not has_bfloat16():
        multiply_in_float32(model)
    return model


def identity_of(model: Any) -> str:
    """sha256 of what a model computes with: the bytes of its parameters and buffers, and its
    configuration.

    Equal for equal weights wherever they lie. What is not seen: code of a module that was changed
    in place, and what is set outside parameters, buffers and configuration.

    Args:
        model: A model of Transformers.

    Raises:
        ValueError: a module has a forward hook, which may change what it gives.
    """
    for path, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise ValueError(
                f"a forward hook is on {path or 'the model'}, which may change what it computes: "
                "remove it, or leave the `with` of splice, steer or replaced"
            )
    tensors = [*model.named_parameters(), *model.named_buffers()]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        known = list(threads.map(_tensor_identity, *zip(*tensors, strict=True)))
    config = json.loads(model.config.to_json_string())
    own = {key: value for key, value in config.items() if key[0] != "_"}
    own.pop("transformers_version", None)
    return digest(canonical_json([known, own]))


def _tensor_identity(name: str, value: Tensor) -> list[Any]:
    held = value.detach().cpu().contiguous().flatten().view(torch.uint8)
    return [
        name,
        str(value.dtype),
        list(value.shape),
        hashlib.sha256(held.numpy().data).hexdigest(),
    ]


def require_complete(info: dict[str, Any], folder: str | Path, weights: str) -> None:
    """Refuse a loading report with missing or misshapen weights.

    Args:
        info: what ``from_pretrained(output_loading_info=True)`` returned beside the model.
        folder: where the model lies, for the message.
        weights: the weight files, for the message.

    Raises:
        LanguageModelError: some weights did not come from the files.
    """
    bad = sorted(str(name) for key in ("missing_keys", "mismatched_keys") for name in info[key])
    if bad:
        shown = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise LanguageModelError(
            f"{folder}: {weights} lacks {len(bad)} weight(s) of the model in config.json, or has "
            f"them in another shape: {shown}; configuration and weights do not belong together"
        )


def load_tokenizer(folder: str | Path) -> Any:
    """Load the tokenizer that lies beside a model.

    Raises:
        LanguageModelError: there is none, or it is damaged.
    """
    from transformers import AutoTokenizer

    folder = Path(folder)
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise LanguageModelError(
            f"{folder}: there is no tokenizer in this folder (none of "
            f"{', '.join(VOCABULARY_FILES)}); save the model's own tokenizer into it with "
            "save_pretrained"
        )  # Transformers would make up an empty one for some architectures
    with _explained(
        folder, "the tokenizer cannot be loaded", "check or replace its tokenizer files"
    ):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def texts_of(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text of each token by itself. Bytes that are no whole character become U+FFFD."""
    found: list[str] = tokenizer.batch_decode([[token] for token in ids])
    names = tokenizer.convert_ids_to_tokens(list(ids))
    return [
        f" {text}"
        if isinstance(name, str) and name.startswith(START_OF_WORD) and not text.startswith(" ")
        else text
        for text, name in zip(found, names, strict=True)
    ]


@contextmanager
def _explained(folder: Path, failure: str, remedy: str) -> Iterator[None]:
    """Say in this project's words what failed, and what to do."""
    try:
        yield
    except Exception as error:  # Transformers passes on whatever the parser of each file raises
        if "trust_remote_code" in str(error):  # it advises to trust the code
            raise LanguageModelError(
                f"{folder}: it brings code of its own (auto_map), which is never run: choose a "
                "model whose architecture and tokenizer are part of Transformers"
            ) from None
        raise LanguageModelError(
            f"{folder}: {failure} ({type(error).__name__}: {error}); {remedy}"
        ) from error


def _weights(folder: Path) -> str:
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    return names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
