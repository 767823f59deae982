"""What a check of a study's files yields: each wing checks its own, ``pipeline.verify`` prints."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.jobs.json_files import digest
from sagsae.files import read_signed_json
from sagsae.storage import is_url


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one file.

    Attributes:
        file: What is wrong.
        problem: How.
        target: What Snakemake has to make again; the file itself if not given.
        delete: What must go before.
        remedy: What to do; {} stands for the command that makes the target again.
    """

    file: str | Path
    problem: object
    target: str | Path | None = None
    delete: tuple[str | Path, ...] = ()
    remedy: str = "{}"


@dataclass(frozen=True)
class Checked:
    """Something that was read, sound or not: its kind, bytes, and how many."""

    kind: str
    size: int = 0
    count: int = 1


@dataclass(frozen=True)
class Absent:
    """A file that the study has not made yet. It is not a fault."""

    file: str | Path


@dataclass(frozen=True)
class Note:
    """A text to print that is not about a fault."""

    text: str


Findings = Iterator[Fault | Checked | Absent | Note]
Reading = Generator[Fault | Checked | Absent | Note, None, dict[str, Any] | None]


def read_record(
    file: str | Path,
    *keys: str,
    spec: object = None,
    kind: str = "",
    beside: tuple[Path, ...] = (),
) -> Reading:
    """Yield what is wrong with a JSON file; return its content, or None if it cannot be used.

    Args:
        file: Where it is, or would be.
        keys: What it must have: it may be a sound file of another kind.
        spec: Specification whose digest it must carry, or that digest.
        kind: What it is counted as.
        beside: Files whose bytes are counted with it.
    """
    if not Path(file).exists():
        yield Absent(file)
        return None
    size = sum(size_of(path) for path in (Path(file), *beside))
    try:
        found = read_signed_json(Path(file))
        if lacking := [key for key in keys if key not in found]:
            raise ValueError(f"not such a file: it has no {', '.join(lacking)}")
    except (OSError, ValueError) as error:
        yield Checked("", size)
        yield Fault(file, error)
        return None
    yield Checked(kind, size)
    if spec is not None:
        expected = spec if isinstance(spec, str) else digest(spec)
        yield from made_for(file, "specification", found["spec"], expected)
    return found


def made_for(file: str | Path, what: str, found: object, expected: str) -> Iterator[Fault]:
    """Yield a fault if a file was made for another specification than the study has now."""
    if found != expected:
        problem = f"made for another configuration: {what} {found}, this study's is {expected}"
        yield Fault(file, problem)


def removal(names: Iterable[str | Path]) -> str:
    """The shell command that removes files, folders and objects; empty if there are none."""
    given = [str(name) for name in names]
    remote = shlex.join(name for name in given if is_url(name))
    local = shlex.join(name for name in given if not is_url(name))
    commands = [f"rm -rf {local}"] if local else []
    commands += [f"python -m pipeline cache delete --yes --names {remote}"] if remote else []
    return " && ".join(commands)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 if there is none."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def amount(size: int) -> str:
    """A number of bytes for reading."""
    value, units = float(size), iter(("bytes", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= 1024 and unit != "TiB":
        value, unit = value / 1024, next(units)
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
