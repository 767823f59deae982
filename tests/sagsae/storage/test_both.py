"""What a folder and the objects of a bucket do alike."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sagsae.storage import Folder, SizeError, Storage, storage_at

Place = Callable[[str], Storage]


@pytest.fixture(params=["folder", "objects"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty place of each kind."""
    if request.param == "folder":
        return storage_at(tmp_path / "place")
    return storage_at(request.getfixturevalue("s3")) / "below/it"


def test_contents_come_and_go(place: Storage) -> None:
    assert not place.exists("a/b")
    with pytest.raises(FileNotFoundError):
        place.read("a/b")
    with pytest.raises(FileNotFoundError):
        place.size("a/b")
    place.write("a/b", b"one", memoryview(b"two"))
    assert (place.read("a/b"), place.size("a/b"), place.exists("a/b")) == (b"onetwo", 6, True)
    place.write("a/b", b"three", flush=False)
    place.settle(["a/b", "a"])
    assert place.read("a/b") == b"three"
    place.write("a/c", b"")
    place.write("d", b"x")
    place.write("e/f/g", b"deep")
    assert sorted(place.names("a")) == ["b", "c"]
    assert (place.names(), place.names("absent")) == (["d"], [])
    assert place.folders() == ["a", "e"]
    assert (place / "e").folders() == ["f"]
    assert (place / "e" / "f").read("g") == b"deep"
    assert place.total_size() == 10
    place.delete("a/b")
    place.delete("a/b")
    assert place.names("a") == ["c"]
    (place / "e").clear()
    (place / "absent").clear()
    assert place.folders() == ["a"]


def test_reading_into_memory(place: Storage) -> None:
    place.write("x", b"0123456789")
    first, second = bytearray(7), bytearray(3)
    place.fetch("x", 10, memoryview(first), memoryview(second))
    assert (bytes(first), bytes(second)) == (b"0123456", b"789")
    with pytest.raises(SizeError, match="has 10 bytes and its commit says 11"):
        place.fetch("x", 11, memoryview(first))
    with pytest.raises(FileNotFoundError):
        place.fetch("y", 10, memoryview(first))


def test_the_first_to_create_wins(place: Storage) -> None:
    assert place.create("c/1", b"mine")
    assert not place.create("c/1", b"theirs")
    assert place.read("c/1") == b"mine"
    assert place.create("c/1", b"mine"), "what is there is what was to be there"
    with ThreadPoolExecutor(8) as threads:
        for number in range(3):
            contents = [b"%d" % i for i in range(8)]
            won = list(threads.map(lambda x, n=number: place.create(f"c/r{n}", x), contents))
            assert won.count(True) == 1
            assert place.read(f"c/r{number}") == contents[won.index(True)]


def test_a_swap_needs_what_was_seen(place: Storage) -> None:
    assert not place.exists("s")
    place.write("s", b"1")
    assert place.swap("s", b"1", b"2")
    assert not place.swap("s", b"1", b"3")
    assert place.read("s") == b"2"
    assert place.swap("s", b"1", b"2"), "it is what it was to become"
    with ThreadPoolExecutor(8) as threads:
        contents = [b"new %d" % i for i in range(8)]
        won = list(threads.map(lambda x: place.swap("s", b"2", x), contents))
    assert won.count(True) == 1
    assert place.read("s") == contents[won.index(True)]


def test_a_claim_is_one_process_s(place: Storage) -> None:
    place.write("other", b"")
    claim = place.claim(".lock-1")
    assert claim is not None
    assert place.claim(".lock-1") is None
    assert not claim.is_lost()
    claim.release(done=False)
    again = place.claim(".lock-1")
    assert again is not None
    again.release(done=True)
    assert place.names() == ["other"]


def test_a_place_is_found_again_in_another_process(place: Storage) -> None:
    place.write("x", b"1")
    again = pickle.loads(pickle.dumps(place))
    assert (again.read("x"), str(again)) == (b"1", str(place))
    assert place.check_writable() is None
    place.tidy()
    assert again.names() == ["x"]


def test_where_a_name_leads(tmp_path: Path) -> None:
    assert str(storage_at(tmp_path)) == str(tmp_path)
    assert storage_at("a/b").name == "b"
    assert storage_at(Folder("x")).name == "x"
    far = storage_at("s3://bucket/a/b/")
    assert (str(far), far.name, str(far / "c")) == ("s3://bucket/a/b", "b", "s3://bucket/a/b/c")
    assert (far.remote, storage_at("a").remote) == (True, False)
    assert storage_at("s3://bucket").name == "bucket"
    with pytest.raises(ValueError, match="made a path"):
        storage_at(Path("s3://bucket/a"))


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:sesame@bucket/a",
        "gs://bucket/sesame",
        "s3:///sesame",
        "s3://bucket/../sesame",
        "s3://Bucket/sesame",
        "s3://bucket/a?sesame=1",
        "s3://bucket//sesame",
    ],
)
def test_a_url_of_another_form_is_refused_without_its_text(url: str) -> None:
    with pytest.raises(ValueError, match="s3://BUCKET/PREFIX") as error:
        storage_at(url)
    assert "sesame" not in str(error.value)
