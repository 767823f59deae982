"""What `snakemake verify` found: faults with a file, a problem and a command; notes; totals."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.study.study import Study
from sagsae.files import read_signed_json


@dataclass(frozen=True)
class Finding:
    """One thing wrong with one file."""

    file: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}\n  {self.problem}\n  remedy: {self.remedy}"


@dataclass
class Audit:
    """Everything found so far in one study.

    Attributes:
        study: What is checked; its paths are relative to the working directory.
        options: Snakemake's options that choose the study, for the commands of the remedies.
        faults: In the order in which they are to be mended.
        absent: Files that the study has not made yet.
        notes: What is no fault and should be known.
        checked: What was found sound or not, by kind.
        size: Bytes read.
    """

    study: Study
    options: str = ""
    faults: list[Finding] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    size: int = 0

    def command(self, target: str | Path, delete: Iterable[str | Path] = ()) -> str:
        """The shell command that makes one file again and nothing that was made from it.

        A deleted file would do as well, but takes with it the cells whose input it is.
        """
        names = " ".join(shlex.quote(str(name)) for name in delete)
        first = f"rm -rf {names} && " if names else ""
        return f"{first}snakemake --cores all{self.options} --force {shlex.quote(str(target))}"

    def fault(self, file: str | Path, problem: object, remedy: str = "") -> None:
        """Record a fault; without another remedy the file is to be made again."""
        self.faults.append(Finding(str(file), str(problem), remedy or self.command(file)))

    def there(self, file: str | Path, *beside: str | Path) -> bool:
        """Whether a file was made; counts the bytes of it and of those beside it."""
        if not Path(file).exists():
            self.absent.append(str(file))
            return False
        self.size += sum(size_of(Path(path)) for path in (file, *beside))
        return True

    def read(self, file: str | Path, *keys: str, remedy: str = "") -> dict[str, Any] | None:
        """The content of a JSON file that is there; a fault and None if it is damaged.

        Args:
            file: Where it is.
            keys: What it must have: it may be a sound file of another kind.
            remedy: As of ``fault``.
        """
        try:
            found = read_signed_json(Path(file))
        except (OSError, ValueError) as error:
            self.fault(file, error, remedy)
            return None
        if lacking := [key for key in keys if key not in found]:
            self.fault(file, f"not such a file: it has no {', '.join(lacking)}", remedy)
            return None
        return found

    def same(self, file: str | Path, what: str, found: object, expected: object) -> bool:
        """Whether a file was made for the specification that the study has now."""
        if found != expected:
            problem = f"made for another configuration: {what} {found}, this study's is {expected}"
            self.fault(file, problem)
        return found == expected


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 if there is none."""
    if path.is_file():
        return path.stat().st_size
    return sum(
        Path(folder, name).stat().st_size for folder, _, names in os.walk(path) for name in names
    )


def amount(size: int) -> str:
    """A number of bytes for reading."""
    value, units = float(size), iter(("bytes", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= 1024 and unit != "TiB":
        value, unit = value / 1024, next(units)
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
