"""Packing loses and repeats nothing; files are checked when read."""

from __future__ import annotations

import numpy as np
import pytest
from activation_samples import random_tokens
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from sagsae.activations.tokens import load_tokens, pack, save_tokens

documents = st.lists(st.lists(st.integers(3, 50), max_size=12), min_size=1, max_size=12)
special = st.sampled_from([None, 1, 2])


@given(documents, st.integers(2, 7), special, special)
def test_packing_is_the_text_in_order(texts, length, start, separator):
    stream = [
        (token, doc)
        for doc, text in enumerate(texts)
        if text
        for token in [*text, *([] if separator is None else [separator])]
    ]
    per_window = length - (start is not None)
    whole = len(stream) // per_window
    with pytest.raises(ValueError, match=f"enough for {whole} contexts .*but {whole + 1}"):
        pack(enumerate(texts), length, start, separator, whole + 1)
    if whole == 0:
        return
    packed = pack(enumerate(texts), length, start, separator, whole)
    assert packed.input_ids.shape == packed.doc_id.shape == (whole, length)
    begin = 0 if start is None else 1
    if start is not None:
        assert (packed.input_ids[:, 0] == start).all()
        assert (packed.doc_id[:, 0] == packed.doc_id[:, 1]).all()
    ids, docs = packed.input_ids[:, begin:].ravel(), packed.doc_id[:, begin:].ravel()
    assert list(zip(ids, docs, strict=True)) == stream[: whole * per_window]


def test_file_round_trip_is_exact_and_deterministic(tmp_path):
    tokens = random_tokens(5)
    for name in ("a", "b"):
        save_tokens(tmp_path / "made" / name, tokens)
    loaded = load_tokens(tmp_path / "made" / "a")
    assert np.array_equal(loaded.input_ids, tokens.input_ids)
    assert np.array_equal(loaded.doc_id, tokens.doc_id)
    assert loaded.metadata == tokens.metadata
    assert loaded.digest() == tokens.digest() != random_tokens(5, seed=1).digest()
    files = sorted((tmp_path / "made").iterdir())
    assert [f.name for f in files] == ["a", "b"], "temporary files stay behind"
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": np.zeros((2, 3), np.int64)}, "int64"),
        ({"input_ids": np.zeros(6, np.int32)}, r"\(6,\)"),
        ({"doc_id": np.zeros((2, 4), np.int32)}, "must be equal"),
        ({"input_ids": np.full((2, 3), -1, np.int32)}, "negative"),
        ({"input_ids": np.full((2, 3), 9, np.int32)}, "vocabulary has 9"),
        ({"doc_id": None}, "doc_id"),
        ({}, "sha256"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    arrays = {name: np.zeros((2, 3), np.int32) for name in ("input_ids", "doc_id")} | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    signed = f'{"0" * 64} {{"vocab_size": 9}}'
    save_file(arrays, tmp_path / "t", metadata={"sagsae_tokens": signed})
    with pytest.raises(ValueError, match=message):
        load_tokens(tmp_path / "t")
