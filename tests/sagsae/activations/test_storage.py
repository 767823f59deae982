"""What a folder and the objects of a bucket do alike, and what is said of a bucket."""

from __future__ import annotations

import pickle
import sys
import traceback
from pathlib import Path

import pytest

from sagsae.activations.storage import Folder, Storage, StorageError, storage_at
from tests.s3_servers import KEY, SECRET, folders


@pytest.fixture(params=["folder", "objects"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty place of each kind."""
    if request.param == "folder":
        return storage_at(tmp_path / "place")
    return storage_at(request.getfixturevalue("s3")) / "below/it"


def test_contents_come_and_go(place):
    assert not place.exists("a/b")
    for look in (place.read, place.size):
        with pytest.raises(FileNotFoundError):
            look("a/b")
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
    assert folders(place) == ["a", "e"]
    assert folders(place / "e") == ["f"]
    assert (place / "e" / "f").read("g") == b"deep"
    place.delete("a/b")
    place.delete("a/b")
    assert place.names("a") == ["c"]
    again = pickle.loads(pickle.dumps(place))
    assert (again.read("d"), str(again)) == (b"x", str(place))


def test_where_a_name_leads(tmp_path):
    assert str(storage_at(tmp_path)) == str(tmp_path)
    assert str(storage_at(Folder("x"))) == "x"
    far = storage_at("s3://bucket/a/b/")
    assert (str(far), str(far / "c")) == ("s3://bucket/a/b", "s3://bucket/a/b/c")
    assert (far.remote, storage_at("a").remote) == (True, False)
    with pytest.raises(ValueError, match="made a path"):
        storage_at(Path("s3://bucket/a"))


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:sesame@bucket/a",
        "gs://bucket/sesame",
        "s3://bucket/../sesame",
        "s3://bucket/a?sesame=1",
    ],
)
def test_a_url_of_another_form_is_refused_without_its_text(url):
    with pytest.raises(ValueError, match="s3://BUCKET/PREFIX") as error:
        storage_at(url)
    assert "sesame" not in str(error.value)


def test_no_bucket_and_no_answer(s3, proxy, monkeypatch):
    for use in (lambda p: p.read("y"), lambda p: p.write("y", b"")):
        with pytest.raises(StorageError, match=r"no-such-bucket/x/y: .*NoSuchBucket"):
            use(storage_at("s3://no-such-bucket/x"))
    monkeypatch.setattr("sagsae.activations.storage.RETRIES", 0)
    proxy.refuse = lambda method, path: True
    with pytest.raises(StorageError, match="run the same command again"):
        storage_at(s3).read("x")


def test_no_secret_is_in_a_message(s3):
    from obstore.exceptions import PermissionDeniedError

    text = f"403 Forbidden: <AWSAccessKeyId>{KEY}</AWSAccessKeyId> {SECRET}"
    denied = pytest.raises(StorageError, match="check bucket, credentials")
    with denied as error, storage_at(s3).requests("x"):
        raise PermissionDeniedError(text)
    shown = "".join(traceback.format_exception(error.value))
    assert KEY not in shown
    assert SECRET not in shown


def test_without_obstore_the_message_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("obstore")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StorageError, match=r"pip install 'sagsae\[s3\]'"):
        storage_at("s3://bucket/x").read("y")
