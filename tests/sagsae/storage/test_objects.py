"""Objects of a bucket: lost answers, marks of processes, servers that do otherwise, secrets."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagsae.storage import Storage, StorageError, claims, s3, storage_at
from tests import s3_servers
from tests.s3_servers import KEY, SECRET, Proxy, once


@pytest.fixture
def proxy(moto: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Between this test and the server."""
    with Proxy(moto) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        yield found


def test_a_put_whose_answer_is_lost_is_won(s3: str, proxy: Proxy) -> None:
    """The client asks again and is told that the object exists: it is its own."""
    place = storage_at(s3)
    proxy.lose = once("PUT", "mine")
    assert place.create("mine", b"content")
    assert len(proxy.requests("PUT", "mine")) == 2
    assert place.read("mine") == b"content"
    proxy.lose = once("PUT", "theirs")
    storage_at(s3).write("theirs", b"other")
    assert not place.create("theirs", b"content")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_server_is_judged_rightly_when_an_answer_is_lost(
    s3: str, proxy: Proxy, number: int
) -> None:
    asked: list[str] = []

    def lose(method: str, path: str) -> bool:
        asked.extend([path] * (method == "PUT"))
        return method == "PUT" and len(asked) == number

    proxy.lose = lose
    place = storage_at(s3)
    place.check_writable()
    assert len(asked) == 4
    assert place.names() == []


def test_a_swap_whose_answer_is_lost_is_done(s3: str, proxy: Proxy) -> None:
    place = storage_at(s3)
    place.write("x", b"1")
    proxy.lose = once("PUT", "x")
    assert place.swap("x", b"1", b"2")
    assert len(proxy.requests("PUT", "x")) == 3
    assert not place.swap("x", b"1", b"3")


def test_a_rival_that_disappears_is_tried_again(s3: str, proxy: Proxy) -> None:
    place = storage_at(s3)
    place.write("x", b"theirs")
    gone = once("GET", "x")

    def look(method: str, path: str) -> bool:
        if gone(method, path):
            place.delete("x")
        return False

    proxy.refuse = look
    assert place.create("x", b"mine")
    assert place.read("x") == b"mine"


# Marks of processes ---------------------------------------------------------------------------


def test_the_mark_of_a_process_that_is_gone_is_taken_over(s3: str) -> None:
    code = (
        "import os, sys; from sagsae.storage import storage_at\n"
        "assert storage_at(sys.argv[1]).claim('.lock-x'); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, s3])
    assert done.returncode == 9
    place = storage_at(s3)
    assert place.names() == [".lock-x"]
    claim = place.claim(".lock-x")
    assert claim is not None
    claim.release(done=True)


def elsewhere(place: Storage, name: str, **changes: str) -> bytes:
    """A mark of a process of another machine, of which nothing is known here."""
    mark = {"holder": "process 1 on far", "process": "boot/pid:[1]/1/1", "claim": "c", "beat": 0}
    content = json.dumps(mark | changes).encode()
    place.write(name, content)
    return content


def test_a_mark_without_a_sign_of_life_is_taken_over(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, now = storage_at(s3), [1000.0]
    monkeypatch.setattr(claims.time, "monotonic", lambda: now[0])
    mark = elsewhere(place, ".lock-x")
    for _ in range(3):
        assert place.claim(".lock-x") is None
        now[0] += 25.0  # never as long as a lease between two signs
        mark = elsewhere(place, ".lock-x", beat=str(now[0]))
    assert place.claim(".lock-x") is None
    now[0] += claims.LEASE_SECONDS - 1
    assert place.claim(".lock-x") is None
    assert place.read(".lock-x") == mark
    now[0] += 1
    claim = place.claim(".lock-x")
    assert claim is not None
    assert b"far" not in place.read(".lock-x")
    claim.release(done=True)


def test_the_owner_of_a_mark_gives_signs_and_learns_of_its_loss(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    place = storage_at(s3)
    claim = place.claim(".lock-x")
    assert claim is not None
    first = place.read(".lock-x")
    wait_until(lambda: place.read(".lock-x") != first)
    assert not claim.is_lost()
    theirs = elsewhere(place, ".lock-x")
    wait_until(claim.is_lost)
    claim.release(done=True)
    assert place.read(".lock-x") == theirs, "it is no longer its own to remove"


def test_a_server_that_does_not_answer_takes_no_mark_away(
    s3: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    place = storage_at(s3)
    claim = place.claim(".lock-x")
    asked = []

    def fail(*_: object) -> bool:
        asked.append(1)
        raise StorageError("down")

    with monkeypatch.context() as patch:
        patch.setattr(type(place), "swap", fail)
        wait_until(lambda: len(asked) > 2)
    assert claim is not None
    assert not claim.is_lost()
    claim.release(done=True)


def wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Servers ----------------------------------------------------------------------------------------


def test_a_server_that_ignores_conditions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_servers.server("nanio", tmp_path) as endpoint:
        for name, value in s3_servers.environment(endpoint).items():
            monkeypatch.setenv(name, value)
        s3_servers.make_bucket("bucket")
        place = storage_at("s3://bucket/stores")
        with pytest.raises(StorageError, match="ignores the conditions of a put"):
            place.check_writable()
        assert place.names() == [], "the probe is gone"


def test_no_bucket_no_server_no_permission(
    s3: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="there is no such bucket"):
        storage_at("s3://no-such-bucket/x").read("y")
    with pytest.raises(StorageError, match="there is no such bucket"):
        storage_at("s3://no-such-bucket/x").write("y", b"")
    denied = StorageErrorFrom(f"403 Forbidden: <AWSAccessKeyId>{KEY}</AWSAccessKeyId> {SECRET}")
    assert KEY not in denied.text
    assert SECRET not in denied.text
    assert "credentials the environment has" in denied.text


class StorageErrorFrom:
    """What becomes of an error of obstore with some text."""

    def __init__(self, text: str) -> None:
        from obstore.exceptions import PermissionDeniedError

        with pytest.raises(StorageError) as error, s3.requests("s3://bucket/x"):
            raise PermissionDeniedError(text)
        self.text = "".join(traceback.format_exception(error.value))


def test_without_obstore_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("obstore", "sagsae.storage.obj"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StorageError, match=r"pip install 'sagsae\[s3\]'"):
        storage_at("s3://bucket/x")


def test_credentials_of_a_profile(
    s3: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As boto3 finds them, where the environment has none itself."""
    file = tmp_path / "credentials"
    file.write_text("[work]\naws_access_key_id = AKIAOFPROFILE\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    storage_at(s3).write("x", b"1")
    assert "AKIAOFPROFILE" in proxy.headers[-1]["authorization"]
