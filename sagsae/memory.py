"""Where memory may end, in words: the place that needs much of it says what for."""

from __future__ import annotations

from contextlib import ContextDecorator

_ATTRIBUTE = "memory_for"


class needs_memory(ContextDecorator):
    """Mark an error that leaves this block, or a function decorated with it, with a purpose.

    The innermost mark stays. `purpose_of` reads it, so that whoever reports that memory ended can
    say what it was for and what to make smaller.

    Args:
        purpose: what the memory is for, such as "a training step".
    """

    def __init__(self, purpose: str) -> None:
        self.purpose = purpose

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            vars(error).setdefault(_ATTRIBUTE, self.purpose)


def purpose_of(error: BaseException) -> str | None:
    """What the memory was for when `error` was raised; None where no place said so."""
    return vars(error).get(_ATTRIBUTE)
