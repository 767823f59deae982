"""Stores as lazy arrays: for dask on threads or on worker processes, and for xarray."""

from __future__ import annotations

import pickle

import dask.array as da
import numpy as np
import pytest
import torch
import xarray

from sagsae.activations.layout import StoreError
from sagsae.activations.store import Store


def rows_of(store: Store, name: str) -> np.ndarray:
    """All rows as float32, read chunk by chunk."""
    chunks = [store.read_rows_as_tensor(name, i) for i in range(store.n_chunks(name))]
    return torch.cat(chunks).float().numpy()


@pytest.mark.parametrize("changes", [{}, {"profile": "disk"}, {"dtype": "float32"}])
def test_lazy_rows_are_the_rows(make_store, changes):
    store = Store.open(make_store(**changes))
    lazy = store.dask("resid")
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype, lazy.chunks) == ((256, 12), np.float32, ((16,) * 16, (12,)))
    np.testing.assert_array_equal(lazy.compute(), rows_of(store, "resid"))
    np.testing.assert_array_equal(lazy[40:100, 3].compute(), rows_of(store, "resid")[40:100, 3])
    assert store.dask("resid").name == lazy.name != store.dask("attn").name
    with pytest.raises(KeyError, match="attn, resid"):
        store.dask("mlp_out")


def test_only_what_is_asked_for_is_read(make_store):
    path = make_store()
    lazy = Store.open(path).dask("attn")
    (path / "data.zarr/attn/c.6.0").unlink()
    lazy[:96].compute()
    with pytest.raises(StoreError, match=r"c\.6\.0\) is missing"):
        lazy[:97].compute()


def test_a_store_travels_to_another_process(make_store):
    store = Store.open(make_store(profile="disk"))
    again = pickle.loads(pickle.dumps(store))
    assert again.digest() == store.digest()
    np.testing.assert_array_equal(rows_of(again, "resid"), rows_of(store, "resid"))
    assert again.dask("resid").name == store.dask("resid").name


@pytest.mark.parametrize("changes", [{}, {"profile": "disk"}, {"dtype": "float32"}])
@pytest.mark.parametrize("sharded", [False, True])
def test_xarray_opens_a_store(make_store, changes, sharded):
    widths = {"attn": 12, "resid": 12}
    store = Store.open(make_store(hookpoints=widths, sharded=sharded, **changes))
    found = xarray.open_zarr(store.path / "data.zarr", consolidated=False)
    assert dict(found.sizes) == {"row": 256, "feature": 12}
    assert found["attn"].dims == ("row", "feature")
    assert found["doc_id"].dims == ("row",)
    assert found.attrs["model"] == {"id": "tiny", "revision": "main"}
    assert found.attrs["run_sha256"] == store.config.digest()
    bits = found["attn"].values
    values = bits if store.config.dtype == "float32" else layout_float32(bits)
    np.testing.assert_array_equal(values, rows_of(store, "attn"))


def layout_float32(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits as the documentation says to read them with numpy alone."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
