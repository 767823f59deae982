"""The command line of a stage: the signature of its ``main`` and the docstring's ``Args``."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin


def add_arguments(parser: argparse.ArgumentParser, main: Callable[..., None]) -> None:
    """Add one option per parameter of ``main``, named after it; its help stands under ``Args``.

    A parameter without a default must be given. ``Literal`` lists the choices, a list takes several
    values, ``X | None`` may be left empty, bool is a switch, and the second part of ``Annotated``
    reads the text; so does the method ``argument`` of a type that has one. A parameter before a /
    has no option name.
    """
    helps = {name: text.replace("%", "%%") for name, text in texts_of(main).items()}
    for name, parameter in inspect.signature(main, eval_str=True).parameters.items():
        given = _reading(parameter.annotation) | {"help": helps.get(name)}
        if parameter.kind is parameter.POSITIONAL_ONLY:
            parser.add_argument(name, **given)
            continue
        required = parameter.default is parameter.empty
        given |= {"required": True} if required else {"default": parameter.default}
        if given.get("nargs") == "+" and not required:
            given["nargs"] = "*"
        option = name.rstrip("_").replace("_", "-")  # from is a word of Python, from_ a name
        parser.add_argument(f"--{option}", dest=name, **given)


def texts_of(documented: Any) -> dict[str, str]:
    """The texts under ``Args`` or ``Attributes`` of a docstring, by name."""
    doc = inspect.getdoc(documented) or ""
    texts = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", doc, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in texts}


def _reading(kind: Any) -> dict[str, Any]:
    """How argparse reads a text as a value of some type."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"choices": parts, "type": type(parts[0])}
    if origin in (list, Sequence):
        return _reading(parts[0]) | {"nargs": "+"}
    if origin is UnionType:
        return {"nargs": "?"} | _reading(parts[0])
    if read := parts[1] if origin is Annotated else getattr(kind, "argument", None):
        return {"type": _with_reasons(read), "metavar": "JSON"}
    return {"action": "store_true"} if kind is bool else {"type": kind}


def _with_reasons(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same, with errors of which argparse shows the text: of others it says "invalid" alone."""

    def reading(text: str) -> Any:
        try:
            return read(text)
        except (OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return reading


def call(main: Callable[..., None], options: argparse.Namespace) -> None:
    """Call ``main`` with what was parsed for it."""
    given = inspect.BoundArguments(inspect.signature(main), vars(options))
    main(*given.args, **given.kwargs)
