"""``sagsae.dump``: which texts end up in the store that it gives."""

from __future__ import annotations

import copy
import random
import warnings

import numpy as np
import pytest
import torch

import sagsae
from tests.sagsae.samples import sparse_store
from tests.sagsae.test_readme import save_tiny_gpt2

pytestmark = pytest.mark.filterwarnings("ignore:.*contexts of 16 tokens are left out")
HOW = {"layer": 2, "context_length": 16, "device": "cpu"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    save_tiny_gpt2(folder)
    return sagsae.load_language_model(folder, dtype="float32")


def texts(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(str(draw.randrange(90)) for _ in range(90)) for _ in range(count)]


def rows_of(store: sagsae.Store) -> list[np.ndarray]:
    return [store.read_tokens(block)["token_id"] for block in store.blocks]


def test_fewer_texts_give_their_own_rows_alone(model, tmp_path):
    """More of them were dumped before. Then a store of their own has the same rows."""
    whole = sagsae.dump(model, texts(300), ["resid"], tmp_path / "a", **HOW)
    fewer = sagsae.dump(model, texts(300)[:150], ["resid"], tmp_path / "a", **HOW)
    alone = sagsae.dump(model, texts(300)[:150], ["resid"], tmp_path / "b", **HOW)
    assert (whole.n_rows, fewer.n_rows) == (3 * 8192, 8192)
    assert fewer.digest() == alone.digest()
    assert np.array_equal(rows_of(fewer), rows_of(alone))
    again = sagsae.dump(model, texts(300), ["resid"], tmp_path / "b", **HOW)
    assert again.digest() == whole.digest()
    other = texts(150) + texts(150, seed=1)
    with pytest.raises(ValueError, match=r"made from other contexts .* into another folder"):
        sagsae.dump(model, other, ["resid"], tmp_path / "a", **HOW)


def test_empty_texts_are_passed_over(model, tmp_path):
    with_empty = [*[""] * 30, *texts(20), ""]
    found = sagsae.dump(model, with_empty, ["resid"], tmp_path / "a", **HOW)
    expected = sagsae.dump(model, texts(20), ["resid"], tmp_path / "b", **HOW)
    assert np.array_equal(rows_of(found), rows_of(expected))


def test_what_is_left_out_is_told(model, tmp_path):
    """20 texts of 90 words and an end make 121 contexts of 15 words and a start."""
    with pytest.warns(UserWarning, match="51 of 121 contexts of 16 tokens .* takes 70 contexts"):
        store = sagsae.dump(model, texts(20), ["resid"], tmp_path / "a", **HOW)
    assert store.n_rows == 1024
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sagsae.dump(model, ["5 " * (70 * 15 - 1)], ["resid"], tmp_path / "b", **HOW)


def test_one_string_is_no_list_of_texts(model, tmp_path):
    with pytest.raises(ValueError, match=r"texts is one string, .* give \[text\]"):
        sagsae.dump(model, "1 2 3 " * 500, ["resid"], tmp_path, **HOW)
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy(model, tmp_path):
    how = HOW | {"layer": np.int64(2), "context_length": np.int64(16), "seed": np.int64(0)}
    found = sagsae.dump(model, texts(20), ["resid"], tmp_path / "a", **how)
    expected = sagsae.dump(model, texts(20), ["resid"], tmp_path / "b", **HOW)
    assert found.digest() == expected.digest()


def test_the_model_is_given_back_as_it_was(model, tmp_path):
    model.train()
    try:
        sagsae.dump(model, texts(20), ["resid"], tmp_path, **HOW)
        assert model.training
    finally:
        model.eval()
    assert next(model.parameters()).device == torch.device("cpu")


def test_positions_that_are_kept_are_those_of_the_dump(model, tmp_path):
    """At any of its hookpoints: also massive ones are left out, of which there are many here."""
    how = HOW | {"max_norm_ratio": 1.1, "slack": 0.8}
    store = sagsae.dump(model, texts(20), ["resid", "mlp_out"], tmp_path, **how)
    tokens = model_tokens(20)
    kept = sagsae.kept_positions(model, tokens, store, batch_contexts=32)
    assert not kept[:, 0].any()
    assert 0.2 < float(kept[:, 1:].float().mean()) < 0.9
    found = [tokens[kept][: store.config.rows_per_block]]
    order = np.random.default_rng([store.config.seed, 0]).permutation(store.config.rows_per_block)
    assert np.array_equal(found[0].numpy()[order], store.read_tokens(0)["token_id"])
    with pytest.raises(ValueError, match="does not say how it was dumped"):
        sagsae.kept_positions(model, tokens, sparse_store(tmp_path / "other", 0))


def model_tokens(count: int) -> torch.Tensor:
    """[n, 16] contexts of `texts`: the end-of-text token is 90, and begins each."""
    ids = [token for text in texts(count) for token in [*map(int, text.split()), 90]]
    whole = torch.tensor(ids[: len(ids) // 15 * 15]).view(-1, 15)
    return torch.cat([torch.full((len(whole), 1), 90), whole], dim=1)


def test_layers_of_one_pass_are_those_of_each(model, tmp_path):
    """Rows are aligned, and those of a single layer where the rules drop no token."""
    how = {key: value for key, value in HOW.items() if key != "layer"} | {"max_norm_ratio": 1e9}
    both = sagsae.dump(model, texts(20), ["resid", "mlp_in"], tmp_path, layers=[3, 1], **how)
    assert list(both.config.hookpoints) == ["l1.mlp_in", "l1.resid", "l3.mlp_in", "l3.resid"]
    assert both.config.provenance["layers"] == [1, 3]
    assert "layer" not in both.config.provenance
    for layer in (1, 3):
        one = sagsae.dump(model, texts(20), ["resid", "mlp_in"], tmp_path, layer=layer, **how)
        assert one.config.provenance["layer"] == layer
        for name in one.config.hookpoints:
            for chunk in range(one.n_chunks(name)):
                there = both.read_rows_as_tensor(f"l{layer}.{name}", chunk)
                assert torch.equal(there, one.read_rows_as_tensor(name, chunk))
    points = sagsae.default_hookpoints("gpt2", 1)
    for names, more in ((["resid"], {"layer": 1}), (points, {})):
        with pytest.raises(ValueError, match="layers is of hookpoints by their names"):
            sagsae.dump(model, texts(20), names, tmp_path, layers=[1], **how, **more)


def test_the_store_is_that_of_the_very_model(model, tmp_path):
    """Also where sums of weights are equal: rows, buffers and configuration count, paths do not."""
    store = sagsae.dump(model, texts(20), ["resid"], tmp_path, **HOW)
    again = copy.deepcopy(model)
    assert sagsae.dump(again, texts(20), ["resid"], tmp_path, **HOW).path == store.path

    def permuted(other):
        weight = other.transformer.h[0].mlp.c_fc.weight.data
        weight.copy_(weight.flip(0).clone())

    def swapped(other):
        first, second = other.transformer.h[:2]
        first.load_state_dict({**second.state_dict()})

    def buffered(other):
        other.transformer.register_buffer("shift", torch.ones(1))

    def configured(other):
        other.config.layer_norm_epsilon = 0.1

    for change in (permuted, swapped, buffered, configured):
        other = copy.deepcopy(model)
        change(other)
        found = sagsae.dump(other, texts(20), ["resid"], tmp_path, **HOW)
        assert found.path != store.path, change.__name__


def test_a_model_under_a_hook_is_refused(model, tmp_path):
    direction = torch.ones(model.config.hidden_size)
    for name in ("resid", "mlp_in"):
        with (
            sagsae.steer(model, sagsae.default_hookpoints("gpt2", 1)[name], direction),
            pytest.raises(ValueError, match=r"forward hook is on transformer\.h\.1"),
        ):
            sagsae.dump(model, texts(20), ["resid"], tmp_path, **HOW)
    assert not list(tmp_path.iterdir())


def test_rows_of_int8_by_their_name(model, tmp_path):
    named = sagsae.dump(model, texts(20), ["resid"], tmp_path, dtype="int8", **HOW)
    assert (named.config.int8, named.config.dtype) == (True, "bfloat16")
    assert sagsae.dump(model, texts(20), ["resid"], tmp_path, int8=True, **HOW).path == named.path


def test_layers_and_hookpoints_as_they_are_given(model, tmp_path):
    how = {key: value for key, value in HOW.items() if key != "layer"}
    store = sagsae.dump(model, texts(20), ["resid"], tmp_path, layers=[1, 3], **how)
    given = sagsae.dump(model, texts(20), "resid", tmp_path, layers=np.array([3, 1]), **how)
    assert given.path == store.path
    for number in (3, np.int64(3)):
        with pytest.raises(ValueError, match=r"give layers=\[3\], or layer=3"):
            sagsae.dump(model, texts(20), ["resid"], tmp_path, layers=number, **how)
    with pytest.raises(ValueError, match=r"no hookpoint 'l1\.resd'"):
        sagsae.dump(model, texts(20), ["resd"], tmp_path, layers=[1], **how)
