"""Text and models on this machine: a study runs again when their content changes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from pipeline.jobs.json_files import sha256_of
from pipeline.study.config.sources import MixedText, ModelSource, TextSource

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
"""Of a folder that ``save_pretrained`` writes: weights, configuration, tokenizer."""
Source = TypeVar("Source", bound=BaseModel)


def without_terms(source: Source) -> Source:
    """A source as specifications have it: terms of use change no number."""
    changed: dict[str, Any] = {}
    if isinstance(source, MixedText):
        changed["sources"] = [
            part.model_copy(update={"source": without_terms(part.source)})
            for part in source.sources
        ]
    elif "terms" in type(source).model_fields:
        changed["terms"] = ""
    return source.model_copy(update=changed)


def terms_of(sources: Iterable[BaseModel]) -> str:
    """Terms of use of some sources; a dash where there are none."""
    return "; ".join(dict.fromkeys(filter(None, (getattr(s, "terms", "") for s in sources)))) or "-"


def text_files(sources: Iterable[TextSource]) -> dict[str, str]:
    """sha256 of each local file of text, by its path; those that are not there are left out."""
    paths = [Path(path) for one in sources if one.kind == "files" for path in one.paths]
    return {str(path): digest_of(path, *_state(path)) for path in paths if path.is_file()}


def model_files(source: ModelSource) -> dict[str, str]:
    """sha256 of each file of a local model's folder, by its name."""
    if source.kind != "path":
        return {}
    files = {file for pattern in MODEL_FILES for file in Path(source.path).glob(pattern)}
    return {file.name: digest_of(file, *_state(file)) for file in sorted(files)}


def _state(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


@cache
def digest_of(file: Path, size: int, changed: int) -> str:
    """sha256 of a file, read once while its size and time stay."""
    return sha256_of(file)
