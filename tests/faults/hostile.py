"""What a hostile or broken program may leave where a file should be."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Harm = Callable[[bytes, random.Random], bytes]

DEEP = 50_000
ODD_CONTENTS = (
    b"",
    b"\0",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b"[" * DEEP,
    b'{"a":' * DEEP,
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a": 1e999, "b": -1e999}',
    b'{"a": NaN}',
    b'{"a": 1, "a": 2, "content_sha256": "x", "content_sha256": "y"}',
    b"\xff\xfe{\0}\0",
    b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x05posix\x94.",
)
ODD_LENGTHS = (0, 1, 8, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        -1,
        0,
        0.1234567,
        1.5,
        2**31,
        2**63,
        10**30,
        1e308,
        "",
        "x",
        "../../x",
        "\0",
    ),
    *([], {}, [[1]], {"a": 1}, ["x"] * 9, "0" * 64),
)


def random_bytes(real: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(2 * len(real)))


def truncated(real: bytes, chance: random.Random) -> bytes:
    return real[: chance.randrange(len(real))]


def flipped_bits(real: bytes, chance: random.Random) -> bytes:
    content = bytearray(real)
    for _ in range(chance.choice([1, 1, 1, 5, 50])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def changed_early_byte(real: bytes, chance: random.Random) -> bytes:
    """One of the first bytes, where headers lie."""
    content = bytearray(real)
    content[chance.randrange(min(len(content), 600))] = chance.randrange(256)
    return bytes(content)


def inserted(real: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(real))
    return real[:place] + chance.randbytes(chance.randrange(1, 9)) + real[place:]


def twice(real: bytes, _: random.Random) -> bytes:
    return real + real


def another_length(real: bytes, chance: random.Random) -> bytes:
    """The length that a safetensors file declares for its header."""
    return chance.choice(ODD_LENGTHS).to_bytes(8, "little") + real[8:]


def odd_content(_: bytes, chance: random.Random) -> bytes:
    return chance.choice(ODD_CONTENTS)


BYTES: tuple[Harm, ...] = (
    random_bytes,
    truncated,
    flipped_bits,
    changed_early_byte,
    inserted,
    twice,
    another_length,
    odd_content,
)


def odd_json(value: Any, chance: random.Random) -> Any:
    """A JSON value with one part replaced, missing or added."""
    value = json.loads(json.dumps(value))
    *parents, last = chance.choice(list(_places(value)))
    place = value
    for key in parents:
        place = place[key]
    match chance.randrange(4):
        case 0 if isinstance(place, dict):
            del place[last]
        case 1 if isinstance(place, dict):
            place["zzz"] = chance.choice(ODD_VALUES)
        case _:
            place[last] = chance.choice(ODD_VALUES)
    return value


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*place, key)
        if isinstance(item, dict | list):
            yield from _places(item, (*place, key))


def odd_header(real: bytes, chance: random.Random) -> bytes:
    """A safetensors file whose header is JSON of the right length that says something else."""
    length = int.from_bytes(real[:8], "little")
    header = odd_json(json.loads(real[8 : 8 + length]), chance)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + real[8 + length :]


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def loop_instead(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def nothing_instead(path: Path) -> None:
    path.unlink()


INSTEAD = (folder_instead, loop_instead, nothing_instead)


@contextmanager
def little_memory(limit: int = 2**28) -> Iterator[None]:
    """Fail if the process grows by more than ``limit`` bytes meanwhile, be it for a moment."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the largest size so far
    before = _memory("VmRSS")
    yield
    grown = _memory("VmHWM") - before
    assert grown < limit, f"grew by {grown:,} bytes"


def _memory(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))
