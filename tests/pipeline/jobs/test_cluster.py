"""Which processes read a store: threads where it is small, dask's where it is large."""

from __future__ import annotations

import os
import sys

import dask
import pytest
from distributed import Client, get_client

from pipeline.jobs import cluster as module
from pipeline.jobs.cluster import LOCAL_BYTES, cluster
from sagsae.activations.blocks import active_client, each_block


def processes() -> set[int]:
    return set(each_block(lambda _: os.getpid(), range(6)))


def test_a_small_store_starts_no_cluster() -> None:
    with cluster(size=LOCAL_BYTES - 1, threads=3):
        assert active_client() is None
        assert dask.config.get("num_workers") == 3
        assert processes() == {os.getpid()}
    with cluster("threads", size=10 * LOCAL_BYTES):
        assert active_client() is None
    with cluster(size=10 * LOCAL_BYTES, threads=1):
        assert active_client() is None, "one core has nothing to share"


@pytest.mark.slow
def test_a_large_store_starts_one(capsys: pytest.CaptureFixture) -> None:
    with cluster(size=LOCAL_BYTES, threads=2):
        found = processes()
        assert os.getpid() not in found
        assert len(get_client().scheduler_info()["workers"]) == 2
    assert active_client() is None
    assert "2 processes of dask on this machine" in capsys.readouterr().err


def test_any_scheduler_by_configuration(two_workers: Client, capsys: pytest.CaptureFixture) -> None:
    address = two_workers.scheduler.address
    for given, configured in ((address, None), ("", address)):
        with dask.config.set({"scheduler-address": configured}), cluster(given):
            assert active_client().scheduler.address == address
            assert os.getpid() not in processes()
        assert f"2 workers of {address}" in capsys.readouterr().err


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", "1s")
    with (
        pytest.raises(ValueError, match=r"no scheduler of dask answers at tcp://127\.0\.0\.1:1"),
        cluster("tcp://127.0.0.1:1"),
    ):
        pass


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with cluster(size=10 * LOCAL_BYTES):
        assert active_client() is None
    with pytest.raises(ValueError, match=r"sagsae\[cluster\]"), cluster("local"):
        pass
    assert "distributed" in sys.modules  # of this test itself
