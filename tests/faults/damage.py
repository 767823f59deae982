"""Ways to damage files. Each is given a folder and a source of chance, and returns what it hit."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from sagsae.files import read_signed_json, signed_json
from tests.faults.small_stores import CHUNKS

Damage = Callable[[Path, random.Random], Path]


def overwrite(file: Path, content: bytes) -> Path:
    """Change a file in place, as a disk does: other names of it change too."""
    with file.open("r+b") as stream:
        stream.write(content)
        stream.truncate()
    return file


def flipped(file: Path, chance: random.Random) -> Path:
    """One bit of a file, anywhere."""
    content = bytearray(file.read_bytes())
    bit = chance.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    return overwrite(file, content)


def flips(pattern: str) -> Damage:
    """One bit of one of the files that match."""

    def damage(folder: Path, chance: random.Random) -> Path:
        return flipped(_one(folder, pattern, chance), chance)

    return damage


def truncated_chunk(folder: Path, chance: random.Random) -> Path:
    file = _one(folder, CHUNKS, chance)
    content = file.read_bytes()
    return overwrite(file, content[: chance.randrange(len(content))])


def missing(pattern: str) -> Damage:
    """One of the files that match is gone."""

    def damage(folder: Path, chance: random.Random) -> Path:
        file = _one(folder, pattern, chance)
        file.unlink()
        return file

    return damage


def another_chunk(folder: Path, chance: random.Random) -> Path:
    """A sound chunk of the same array, of the same size where there is one, in its place."""
    file = _one(folder, CHUNKS, chance)
    here = file.read_bytes()
    others = [p.read_bytes() for p in sorted(file.parent.glob("c.*"))]
    others = [content for content in others if content != here]
    same = [content for content in others if len(content) == len(here)]
    return overwrite(file, chance.choice(same or others))


def changed_byte(pattern: str) -> Damage:
    """One byte of one of the files that match has another value."""

    def damage(folder: Path, chance: random.Random) -> Path:
        file = _one(folder, pattern, chance)
        content = bytearray(file.read_bytes())
        place = chance.randrange(len(content))
        content[place] ^= chance.randrange(1, 256)
        return overwrite(file, content)

    return damage


def signed_again(folder: Path, chance: random.Random) -> Path:
    """A checksum or a size of a commit, with a digest that fits."""
    file = _one(folder, "commits/*.json", chance)
    commit = read_signed_json(file)
    array = chance.choice(sorted(commit["crc32c"]))
    if chance.random() < 0.5:
        sums = commit["crc32c"][array]
        sums[chance.randrange(len(sums))] = f"{chance.getrandbits(32):08x}"
    else:
        name = chance.choice(sorted(commit["files"][array]))
        commit["files"][array][name] += chance.choice([-1, 1])
    return overwrite(file, signed_json(commit))


def swapped(pattern: str) -> Damage:
    """One of the files that match holds what another of them holds."""

    def damage(folder: Path, chance: random.Random) -> Path:
        file = _one(folder, pattern, chance)
        here = file.read_bytes()
        others = [path.read_bytes() for path in sorted(folder.glob(pattern))]
        return overwrite(file, chance.choice([other for other in others if other != here]))

    return damage


def replaced_by(other: Path, name: str) -> Damage:
    """A file of another folder in the place of this one's, or "." for the whole folder."""

    def damage(folder: Path, _: random.Random) -> Path:
        if name != ".":
            return overwrite(folder / name, (other / name).read_bytes())
        shutil.rmtree(folder)
        shutil.copytree(other, folder)
        return folder

    return damage


def _one(folder: Path, pattern: str, chance: random.Random) -> Path:
    return chance.choice(sorted(path for path in folder.glob(pattern) if path.is_file()))
