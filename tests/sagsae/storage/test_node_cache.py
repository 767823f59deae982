"""Rows of objects on this node's disk: checked, bounded, shared, and never needed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import google_crc32c
import pytest

from sagsae.storage.node_cache import NodeCache, node_cache


def crc(content: bytes) -> str:
    return f"{google_crc32c.value(content):08x}"


def read(cache: NodeCache, key: str, content: bytes) -> bool:
    """Whether the cache has exactly this content."""
    out = bytearray(len(content))
    found = cache.read(key, memoryview(out), crc(content))
    return found and bytes(out) == content


def keep(cache: NodeCache, key: str, content: bytes) -> None:
    cache.keep(key, memoryview(content), crc(content))


def files(cache: NodeCache) -> list[Path]:
    found = (path for path in cache.folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.name.startswith(".lock"))


@pytest.fixture
def cache(tmp_path: Path) -> NodeCache:
    (tmp_path / "cache").mkdir()
    return NodeCache(tmp_path / "cache", 100_000)


def test_what_is_kept_is_read(cache: NodeCache) -> None:
    content = os.urandom(500)
    assert not read(cache, "store/resid/0.1", content)
    keep(cache, "store/resid/0.1", content)
    assert read(cache, "store/resid/0.1", content)
    assert not read(cache, "store/resid/0.1", os.urandom(500)), "another block of the same number"
    assert not read(cache, "store/resid/0.2", content)


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "empty"])
def test_a_damaged_file_is_as_none_and_goes(cache: NodeCache, damage: str) -> None:
    content = os.urandom(500)
    keep(cache, "a/0", content)
    (file,) = files(cache)
    changed = {
        "flip": bytes([content[0] ^ 1]) + content[1:],
        "cut": content[:-1],
        "grow": content + b"x",
        "empty": b"",
    }[damage]
    file.write_bytes(changed)
    assert not read(cache, "a/0", content)
    assert files(cache) == []
    keep(cache, "a/0", content)
    assert read(cache, "a/0", content)


def test_it_is_bounded_and_what_was_used_last_stays(cache: NodeCache) -> None:
    contents = {f"a/{i}": os.urandom(1000) for i in range(300)}
    for number, (key, content) in enumerate(contents.items()):
        keep(cache, key, content)
        os.utime(files(cache)[-1])
        assert read(cache, "a/0", contents["a/0"]), f"in use, and gone after {number}"
        assert sum(file.stat().st_size for file in files(cache)) <= cache.limit
    assert 50 < len(files(cache)) <= 100
    assert read(cache, "a/299", contents["a/299"])
    assert not read(cache, "a/1", contents["a/1"])


def test_what_is_larger_than_half_of_it_is_not_kept(cache: NodeCache) -> None:
    keep(cache, "a/0", os.urandom(60_000))
    assert files(cache) == []


def test_old_leftovers_of_killed_processes_go(cache: NodeCache) -> None:
    old, new = cache.folder / ".x.partial", cache.folder / ".y.partial"
    old.write_bytes(b"x")
    new.write_bytes(b"y")
    os.utime(old, (0, 0))
    keep(cache, "a/0", b"1" * 100)
    assert not old.exists()
    assert new.exists()


def test_a_full_disk_is_no_error(cache: NodeCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    keep(cache, "a/0", b"1" * 100)
    assert files(cache) == []


def test_one_process_fetches(cache: NodeCache) -> None:
    """The others wait for it."""
    order = []

    def other() -> None:
        with cache.alone("a/0"):
            order.append("other")

    with cache.alone("a/0"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_the_environment_says_where_and_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGSAE_NODE_CACHE", str(tmp_path / "a/b"))
    monkeypatch.setenv("SAGSAE_NODE_CACHE_GB", "0.5")
    found = node_cache()
    assert found is not None
    assert (found.folder, found.limit) == (tmp_path / "a/b", 500_000_000)
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("SAGSAE_NODE_CACHE_GB", "0")
    assert node_cache() is None
    monkeypatch.setenv("SAGSAE_NODE_CACHE_GB", "many")
    with pytest.raises(ValueError, match="give a number of gigabytes"):
        node_cache()


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("SAGSAE_NODE_CACHE", str(tmp_path / "link"))
    with pytest.raises(OSError, match="not a folder of user"):
        node_cache()
