"""One line on an error that comes of an exhausted resource."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

AGAIN = "run the same command again: what is finished is kept"
DISK, MEMORY, GPU = "the disk is full", "no memory", "no GPU memory"
_NUMBERS = {
    errno.ENOSPC: DISK,
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.ENOMEM: MEMORY,
}
_WORDS = {  # of errors without a number: safetensors, tokenizers, PyTorch
    DISK: r"No space left on device|os error 28\b",
    GPU: r"CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
    MEMORY: r"can't allocate memory|Cannot allocate memory|Unable to allocate|os error 12\b"
    r"|failed to map segment|std::bad_alloc|could not create a primitive$|can't start new thread",
}
_ADVICE = {
    DISK: "free some space",
    MEMORY: "give the job more, or lower its batch sizes or widths",
    GPU: "lower batch sizes or widths, or jobs_per_gpu where several jobs share the GPU",
}


def explain(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """What is exhausted, where, and what to do; empty for any other error.

    Args:
        error: What ended a stage.
        arguments: The stage's command line, which tells what it writes.
    """
    found = [(resource, link) for link in _chain(error) if (resource := _resource(link))]
    if not found:
        return ""
    resource, cause = found[-1]  # the innermost says it best
    text = " ".join(str(cause).split()) or type(cause).__name__
    if resource not in (MEMORY, GPU) and not getattr(cause, "filename", None):
        text += "".join(f" at {out}" for option, out in pairwise(arguments) if option == "--out")
    return f"{resource}: {text}: {_ADVICE.get(resource, 'mend that')} and {AGAIN}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from: libraries wrap whatever they meet."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _resource(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return _NUMBERS[error.errno]
    named = (resource for resource, words in _WORDS.items() if re.search(words, str(error)))
    return next(named, MEMORY if isinstance(error, MemoryError) else "")
