"""What an exhausted resource means to a user: which one, where, and what to do about it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sagsae.memory import purpose_of

AGAIN = "run the same command again: what is finished is kept"
OUTPUTS = ("--out", "--out-dir", "--latents", "--acts-root")
"""Options of the stages that name what they write."""

_NUMBERS = {
    errno.ENOSPC: "disk",
    errno.EDQUOT: "quota",
    errno.EROFS: "read-only",
    errno.ENOMEM: "memory",
}
_WORDS = {  # of errors without a number: safetensors, tokenizers, PyTorch, pip
    "disk": r"No space left on device|os error 28\b",
    "quota": r"Disk quota exceeded|os error 122\b",
    "read-only": r"Read-only file system|os error 30\b",
    "GPU": r"CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
    "threads": r"can't start new thread|ThreadPoolBuildError",
    "memory": r"can't allocate memory|Cannot allocate memory|Unable to allocate|os error 12\b"
    r"|failed to map segment|std::bad_alloc|could not create a primitive$",
}
_ASKED = re.compile(r"to (?:allocate|mmap) ([\d.,]+) ?(\w+)")
_WIDTH = "the width or expansion of the grid entry"
SETTINGS = {
    "the language model": "",
    "spliced passes of the language model": "text.context_length",
    "the language model's own losses": "evaluation.lr_contexts",
    "steering of the language model": "dial.positions",
    "the rows that are probed": "probe.train_rows or probe.test_rows",
    "the codes of the rows that are probed": "probe.train_rows or probe.test_rows",
    "the evaluation of the autoencoder": _WIDTH,
    "the logits of directions": _WIDTH,
    "what is kept of each latent": f"browser.top, browser.samples or {_WIDTH}",
    "the chunks that are shuffled together": (
        "training.group_chunks, dump.rows_per_chunk or training.batch_size"
    ),
    "a training step": f"training.batch_size or {_WIDTH}",
    "the autoencoder": _WIDTH,
    "a forward pass of the language model": "text.context_length",
    "a block of activations": "dump.rows_per_block",
    "a block of activations that is written": "dump.rows_per_block",
    "the tokens of a split": "dump.train_rows and dump.heldout_rows",
    "chunks of activations": "dump.rows_per_chunk or dump.rows_per_block",
    "the documents": "",
}
"""What memory is for, in the words of ``needs_memory`` at the place -> settings that lower it."""


def explain(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """One line on an error that comes of a resource; empty for any other error.

    Args:
        error: What ended a stage.
        arguments: The stage's command line, which tells where it writes.
    """
    causes = [(kind, cause) for cause in _chain(error) if (kind := _kind(cause))]
    kind, cause = causes[-1] if causes else ("", error)  # the innermost says it best
    match kind:
        case "disk" | "quota":
            what = "disk is full" if kind == "disk" else "disk quota is used up"
            return f"the {what}: {_disk(cause, arguments)}: free some space and {AGAIN}"
        case "read-only":
            return (
                f"the file system is read-only: {_text(cause)}: make it writable and {AGAIN}; or "
                "choose another folder for `results` or `cache` in the configuration"
            )
        case "threads":
            return (
                "no thread can be started, memory or the number of processes is used up (see "
                f"`ulimit -v` and `ulimit -u`): end other programs or get more, and {AGAIN}"
            )
        case "GPU" | "memory":
            purposes = [purpose for link in _chain(error) if (purpose := purpose_of(link))]
            return _memory(cause, (purposes or ["this stage"])[-1], on_gpu=kind == "GPU")
    if isinstance(error, PermissionError):
        return f"permission denied: {_text(error)}: make the folder writable or choose another"
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from: libraries wrap whatever they meet."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _kind(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return _NUMBERS[error.errno]
    named = (kind for kind, words in _WORDS.items() if re.search(words, str(error)))
    return next(named, "memory" if isinstance(error, MemoryError) else "")


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())


def _disk(error: BaseException, arguments: Sequence[str]) -> str:
    """The error, and how full the disk is on which it arose."""
    named = [getattr(error, name, None) for name in ("filename", "filename2")]
    paths = [Path(os.fsdecode(name)) for name in named if isinstance(name, str | bytes)]
    fullest = min(map(_left, paths or _written(arguments)), default=(0, ""))
    return _text(error) + fullest[1]


def _left(path: Path) -> tuple[float, str]:
    """What the disk that ``path`` lies on, or would lie on, has least of: its share, and in words.

    That is bytes or inodes.
    """
    folder = next((place for place in (path, *path.parents) if place.is_dir()), Path())
    found = os.statvfs(folder)
    free, total = (blocks * found.f_frsize for blocks in (found.f_bavail, found.f_blocks))
    scarce = [(free / max(total, 1), f"{free:,} of {total:,} bytes")]
    if found.f_files:  # some file systems do not count theirs
        inodes = f"{found.f_favail:,} of {found.f_files:,} inodes"
        scarce.append((found.f_favail / found.f_files, inodes))
    share, words = min(scarce)
    return share, f"; {words} are free in {folder}"


def _written(arguments: Sequence[str]) -> Iterator[Path]:
    """What the options of a command line name for writing."""
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option in OUTPUTS:
            yield Path(value if equals else next(words, "."))


def _memory(error: BaseException, purpose: str, *, on_gpu: bool) -> str:
    settings = SETTINGS.get(purpose)
    advice = [f"lower {settings} in the configuration"] if settings else []
    if on_gpu:
        advice.append("lower jobs_per_gpu if several jobs share the GPU or end what else uses it")
    else:
        advice.append("give the job more memory")
    where = "GPU memory" if on_gpu else "memory"
    return f"no {where} for {purpose}, {_asked(error)}: {', or '.join(advice)}, and {AGAIN}"


def _asked(error: BaseException) -> str:
    """How much was asked for, as far as the error tells, and what a GPU still had."""
    text = _text(error)
    if (found := _ASKED.search(text)) is None:
        return text or "of unknown size"
    number, unit = found.groups()
    size = f"{number} {unit}" if unit != "bytes" else f"{int(number) / 2**20:,.1f} MiB"
    free = re.search(r"GPU \d+ has .*? is free(?=\.)", text)
    return f"{size} asked for" + (f" ({free[0]})" if free else "")
