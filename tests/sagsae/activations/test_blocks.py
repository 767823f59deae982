"""Work on the blocks of a store: on threads, on two processes, and when one of them is killed."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from pathlib import Path

import dask
import numpy as np
import pytest
from activation_samples import contents, small_config, write_store
from distributed import Client

from sagsae.activations import Store, convert, verify_store
from sagsae.activations.arrays import as_float32
from sagsae.activations.blocks import active_client, each_block
from sagsae.activations.convert import convert_store
from sagsae.activations.feature_statistics import feature_statistics
from sagsae.storage import Storage, storage_at


def square(number: int) -> int:
    if number == 13:
        raise ValueError("unlucky")
    return number * number


def square_and_die_once(marks: str, number: int) -> tuple[int, int]:
    """Kills its process the first time that it is asked for 3 or 8."""
    mark = Path(marks) / str(number)
    if number in (3, 8) and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number, os.getpid()


def test_on_threads() -> None:
    said: list[tuple[int, int]] = []
    found = each_block(square, [3, 1, 2], lambda done, total: said.append((done, total)))
    assert found == [9, 1, 4]
    assert said == [(1, 3), (2, 3), (3, 3)]
    assert each_block(square, []) == []
    with pytest.raises(ValueError, match="unlucky"):
        each_block(square, [1, 13, 2])
    with dask.config.set(num_workers=1):
        assert len(set(each_block(lambda _: threading.get_ident(), range(20)))) == 1


def test_on_two_processes(two_workers: Client) -> None:
    assert active_client() is None
    with two_workers.as_current():
        assert active_client() is not None
        said: list[tuple[int, int]] = []
        found = each_block(square, [3, 1, 2, 3], lambda done, total: said.append((done, total)))
        assert found == [9, 1, 4, 9]
        assert said[-1] == (4, 4)
        with pytest.raises(ValueError, match="unlucky"):
            each_block(square, [1, 13, 2])


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(two_workers: Client, tmp_path: Path) -> None:
    with two_workers.as_current():
        found = each_block(partial(square_and_die_once, str(tmp_path)), range(20))
    assert [square for square, _ in found] == [number * number for number in range(20)]
    assert {path.name for path in tmp_path.iterdir()} == {"3", "8"}
    assert len({process for _, process in found}) > 1
    assert os.getpid() not in {process for _, process in found}


# What is done on blocks -------------------------------------------------------------------------

LAYOUTS = [
    {"profile": "disk"},
    {"rows_per_chunk": 32},
    {"sharded": True},
    {"sharded": True, "profile": "disk", "rows_per_chunk": 8},
]


@pytest.mark.parametrize("changes", LAYOUTS)
def test_a_converted_store_is_the_one_that_a_dump_makes(tmp_path: Path, changes: dict) -> None:
    source = Store.open(write_store(tmp_path / "source", small_config()))
    (tmp_path / "made").mkdir()
    provenance = source.config.provenance
    made = convert_store(source, tmp_path / "made", "copy", provenance=provenance, **changes)
    assert contents(made) == contents(write_store(tmp_path / "b", small_config(**changes)))
    back = {"rows_per_chunk": 16, "profile": "plain", "sharded": False, "provenance": provenance}
    again = convert_store(Store.open(made), tmp_path / "again", "copy", **back)
    assert contents(again) == contents(source.path)


@pytest.mark.slow
def test_a_copy_says_what_it_is_of(tmp_path: Path, two_workers: Client) -> None:
    config = small_config(provenance={"model": "m", "family": "f"})
    source = Store.open(write_store(tmp_path / "source", config))
    with two_workers.as_current():
        made = convert_store(source, tmp_path, "copy", profile="disk")
    copy = Store.open(made)
    assert copy.config.provenance == {"model": "m", "converted_from": source.digest()}
    assert made.name == f"copy-{copy.config.digest()[:8]}"
    for chunk in range(copy.n_chunks("attn")):
        rows = copy.read_chunk("attn", chunk), source.read_chunk("attn", chunk)
        np.testing.assert_array_equal(*rows)
    assert copy.statistics("resid").mean.tolist() == source.statistics("resid").mean.tolist()


def test_a_conversion_goes_on_where_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Store.open(write_store(tmp_path / "source", small_config()))
    real, done, again = convert.convert_block, [], []

    def dies(*arguments: object) -> int:
        if arguments[-1] == 2 and not again:
            raise KeyboardInterrupt
        done.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(convert, "convert_block", dies)
    with pytest.raises(KeyboardInterrupt), dask.config.set(num_workers=1):
        convert_store(source, tmp_path, "copy", profile="disk")
    left = {0, 1, 2, 3} - set(done)
    assert 2 in left
    assert len(left) < 4
    again.append(True)
    done.clear()
    made = convert_store(source, tmp_path, "copy", profile="disk")
    assert set(done) == left
    assert verify_store(made).faults == []


def test_a_damaged_store_is_not_converted(tmp_path: Path) -> None:
    path = write_store(tmp_path / "source", small_config())
    file = path / "data.zarr/attn/c.6.0"
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(ValueError, match=r"c\.6\.0 .*Store\.verify"):
        convert_store(Store.open(path), tmp_path, "copy", profile="disk")


def test_a_chunk_that_does_not_divide_a_block_is_refused(tmp_path: Path) -> None:
    source = Store.open(write_store(tmp_path / "source", small_config()))
    with pytest.raises(ValueError, match="not a multiple"):
        convert_store(source, tmp_path, "copy", rows_per_chunk=24)


def test_a_store_moves_to_a_bucket(s3: str, tmp_path: Path) -> None:
    source = Store.open(write_store(tmp_path / "source", small_config()))
    made = convert_store(source, storage_at(f"{s3}/stores"), "copy", sharded=True)
    assert isinstance(made, Storage)
    assert Store.open(made).verify() == []
    back = convert_store(Store.open(made), tmp_path / "back", "copy", sharded=False)
    rows = [Store.open(where).read_chunk("resid", 9) for where in (source.path, back)]
    np.testing.assert_array_equal(*rows)


def rows_of(store: Store, name: str) -> np.ndarray:
    chunks = range(store.n_chunks(name))
    return np.concatenate([as_float32(store.read_chunk(name, i)) for i in chunks])


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_statistics_of_every_feature(tmp_path: Path, dtype: str) -> None:
    store = Store.open(write_store(tmp_path / "s", small_config(dtype=dtype)))
    found = feature_statistics(store)
    assert found.keys() == {"attn", "resid"}
    for name, of in found.items():
        rows = rows_of(store, name)
        exact = rows.astype(np.float64)
        assert of.count == 256
        np.testing.assert_allclose(of.mean, exact.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(of.variance, exact.var(axis=0), rtol=1e-12)
        np.testing.assert_array_equal(of.minimum, rows.min(axis=0))
        np.testing.assert_array_equal(of.maximum, rows.max(axis=0))
    assert feature_statistics(store, ["attn"]).keys() == {"attn"}
    with pytest.raises(KeyError, match="mlp"):
        feature_statistics(store, ["mlp"])


def test_statistics_on_two_processes(tmp_path: Path, two_workers: Client) -> None:
    store = Store.open(write_store(tmp_path / "s", small_config(profile="disk")))
    with two_workers.as_current():
        far = feature_statistics(store)
    near = feature_statistics(store)
    for name in near:
        np.testing.assert_array_equal(far[name].mean, near[name].mean)
        np.testing.assert_array_equal(far[name].variance, near[name].variance)
