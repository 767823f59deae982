"""The digest of the code that makes tables, figures, claims and the report."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# Where the analysis begins; all that is imported from there belongs to it.
FIRST = ("pipeline/analysis", "pipeline/claims")
# An import of this project: its module, and the names that may be modules below it.
IMPORT = re.compile(
    r"^[ \t]*(?:from ((?:pipeline|sagsae)[\w.]*) import (\([^)]*\)|[^\n(]*)"
    r"|import ((?:pipeline|sagsae)[\w.]*))",
    re.MULTILINE,
)


@cache
def code_digest() -> str:
    """Of the sources of the analysis and of all of this project that they import, found from the
    imports themselves. It is a parameter of the rules of analysis, so that a changed line makes
    tables again."""
    found = hashlib.sha256()
    for path in sorted(sources()):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def sources() -> set[Path]:
    """The files of the analysis, and those that they import, directly or not."""
    begin = [CHECKOUT / folder for folder in FIRST]
    known = {path for folder in begin for path in folder.rglob("*.j2")}
    waiting = [path for folder in begin for path in folder.rglob("*.py")]
    while waiting:
        path = waiting.pop()
        if path not in known:
            known.add(path)
            waiting += [file for name in imported(path.read_text()) for file in files_of(name)]
    return known


def imported(source: str) -> Iterator[str]:
    """Dotted names that a source imports of this project, modules or what lies in them."""
    for module, names, whole in IMPORT.findall(source):
        yield module or whole
        for name in re.findall(r"(\w+)(?: as \w+)?", names):
            yield f"{module}.{name}"


def files_of(name: str) -> list[Path]:
    """The file of a module, with those of the packages around it; none if it is no module."""
    parts = name.split(".")
    places = [CHECKOUT.joinpath(*parts[: i + 1]) for i in range(len(parts))]
    files = [file for at in places for file in (at / "__init__.py", at.with_suffix(".py"))]
    return [file for file in files if file.is_file()]
