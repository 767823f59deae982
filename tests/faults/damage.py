"""Ways to damage files. Each is given a folder and a source of chance, and returns what it hit."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, random.Random], Path]


def overwrite(file: Path, content: bytes) -> Path:
    """Change a file in place, as a disk does: other names of it change too."""
    with file.open("r+b") as stream:
        stream.write(content)
        stream.truncate()
    return file


def flips(pattern: str) -> Damage:
    """One bit of one of the files that match."""

    def damage(folder: Path, chance: random.Random) -> Path:
        file = _one(folder, pattern, chance)
        content = bytearray(file.read_bytes())
        bit = chance.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        return overwrite(file, content)

    return damage


def truncated(pattern: str) -> Damage:
    """One of the files that match is cut short."""

    def damage(folder: Path, chance: random.Random) -> Path:
        file = _one(folder, pattern, chance)
        content = file.read_bytes()
        return overwrite(file, content[: chance.randrange(len(content))])

    return damage


def missing(pattern: str) -> Damage:
    """One of the files that match is gone."""

    def damage(folder: Path, chance: random.Random) -> Path:
        file = _one(folder, pattern, chance)
        file.unlink()
        return file

    return damage


def swapped(pattern: str) -> Damage:
    """One of the files that match holds what another of them holds."""

    def damage(folder: Path, chance: random.Random) -> Path:
        file = _one(folder, pattern, chance)
        here = file.read_bytes()
        others = [path.read_bytes() for path in sorted(folder.glob(pattern))]
        return overwrite(file, chance.choice([other for other in others if other != here]))

    return damage


def _one(folder: Path, pattern: str, chance: random.Random) -> Path:
    return chance.choice(sorted(path for path in folder.glob(pattern) if path.is_file()))
