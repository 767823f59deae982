"""Dumps hold what the model computes, follow the drop rules, and survive being killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from activation_samples import contents, random_tokens
from torch import Tensor
from transformers import PreTrainedModel

import sagsae
from sagsae.activations.dump import DumpProgress, dump_activations
from sagsae.activations.hookpoints import default_hookpoints, splice
from sagsae.activations.layout import StoreError
from sagsae.activations.reading import DumpSettings, contexts_per_block, kept_mask, load_calibration
from sagsae.activations.store import Store, verify_store
from sagsae.activations.tokens import TokenStore
from sagsae.files import signed_json
from tests.sagsae.evaluation.samples import tiny_model

LENGTH, BLOCKS, ROWS = 16, 3, 64
CALIBRATION = torch.from_numpy(random_tokens(6, LENGTH, seed=9).input_ids)


def settings(**changes: object) -> DumpSettings:
    values: dict = {"rows_per_chunk": 16, "rows_per_block": ROWS, "n_blocks": BLOCKS, "seed": 5}
    return DumpSettings(**(values | {"slack": 0.2, "batch_contexts": 4} | changes))


def enough_tokens() -> TokenStore:
    return random_tokens(BLOCKS * contexts_per_block(ROWS, LENGTH, 0.2), LENGTH)


def dump(model: PreTrainedModel, root: Path, layer: int = 1, **changes: object) -> Path:
    points = default_hookpoints(model.config.model_type, layer)
    extra = {key: changes.pop(key) for key in ("progress", "threads") if key in changes}
    tokens = changes.pop("tokens", None) or enough_tokens()
    return dump_activations(
        model, tokens, CALIBRATION, points, root, "tiny", settings(**changes), **extra
    )


def hidden_states(model: PreTrainedModel, ids: np.ndarray, layer: int) -> Tensor:
    """[n, L, d] residual stream after a block, computed without hooks."""
    with torch.no_grad():
        out = model(input_ids=torch.from_numpy(ids).long(), output_hidden_states=True)
    return out.hidden_states[layer + 1]


def amplify(factors: Tensor) -> Callable[[Tensor], Tensor]:
    """Scales the residual stream by token; [batch, ctx] factors of the next pass."""
    return lambda x: x * factors[: x.shape[0], : x.shape[1], None]


def test_rows_are_the_models_activations(model, tmp_path):
    tokens = enough_tokens()
    store = Store.open(dump(model, tmp_path, max_norm_ratio=1e9))
    states = hidden_states(model, tokens.input_ids, 1)
    per_block = contexts_per_block(ROWS, LENGTH, 0.2)
    for block in range(BLOCKS):
        labels = store.read_tokens(block)
        rows = torch.cat([store.read_rows_as_tensor("resid", block * 4 + i) for i in range(4)])
        doc, position = labels["doc_id"], labels["position"]
        assert np.array_equal(labels["token_id"], tokens.input_ids[doc, position])
        assert position.min() == 1
        assert doc.min() == block * per_block
        assert doc.max() < (block + 1) * per_block
        assert len(set(zip(doc.tolist(), position.tolist(), strict=True))) == ROWS
        want = states[doc, position]
        torch.testing.assert_close(rows.float(), want, rtol=2**-7, atol=1e-3)
    known = default_hookpoints(model.config.model_type, 1)
    assert store.config.hookpoints == dict.fromkeys(sorted(known), 32)
    assert store.dropped["norm"] == 0


def test_massive_tokens_of_any_hookpoint_are_dropped(tmp_path):
    model = tiny_model("smollm3")
    point = default_hookpoints("smollm3", 1)["mlp_out"]
    factors = torch.ones(4, LENGTH)
    factors[:, 7] = 1000.0  # after calibration, position 7 is massive in mlp_out and in resid
    path = dump(model, tmp_path, n_blocks=1)
    (path / "commits/000000.json").unlink()
    (path / "SEALED.json").unlink()
    medians = load_calibration(path)
    with splice(model, point, amplify(factors)):
        assert dump(model, tmp_path, n_blocks=1) == path
    store = Store.open(path)
    positions = store.read_tokens(0)["position"]
    assert 7 not in positions
    assert {6, 8} <= set(positions.tolist())
    assert store.dropped["norm"] >= store.commits[0].cursor["contexts_read"]
    assert load_calibration(path) == medians, "a resumed dump computed its medians again"
    for name in ("attn", "mlp_out", "resid"):
        assert store.statistics(name).max_norm <= 10 * medians[name] * 1.01


def test_kept_mask():
    x = torch.ones(2, 4, 9)  # norms 3
    y = torch.ones(2, 4, 4)  # norms 2
    y[1, 2] *= 6.0
    x[0, 3] *= 5.0
    medians = {"x": 3.0, "y": 2.0}
    kept = kept_mask({"x": x, "y": y}, medians, 5.0)
    assert kept.tolist() == [[False, True, True, True], [False, True, False, True]]
    assert kept_mask({"x": x}, medians, 4.99)[0].tolist() == [False, True, True, False]
    for value in (float("nan"), float("inf")):
        x[0, 2, 0] = value
        assert kept_mask({"x": x}, medians, 5.0)[0, 2], "a broken row must reach the writer"


@pytest.mark.parametrize("blocks", [1, 3])
def test_non_finite_activations_stop_the_dump(tmp_path, blocks):
    """The thread's error reaches the caller, from the last block and from one before."""
    model = tiny_model("smollm3")
    point = default_hookpoints("smollm3", 1)["attn"]
    dump(model, tmp_path, n_blocks=blocks)
    (path,) = tmp_path.iterdir()
    for commit in (path / "commits").iterdir():
        commit.unlink()
    factors = torch.ones(4, LENGTH)
    factors[2, 5] = float("inf")
    with (
        splice(model, point, amplify(factors)),
        pytest.raises(StoreError, match="document 2"),
    ):
        dump(model, tmp_path, n_blocks=blocks)
    assert not any((path / "commits").iterdir())


@pytest.mark.slow
def test_everything_that_matters_is_in_the_name(tmp_path):
    model = tiny_model("gpt_neox")
    changes: list[dict] = [
        {},
        {"max_norm_ratio": 20.0},
        {"batch_contexts": 3},
        {"seed": 6},
        {"layer": 2},
        {"provenance": {"model": "x"}},
        {"tokens": random_tokens(60, LENGTH, seed=2)},
    ]
    assert len({dump(model, tmp_path, **change) for change in changes}) == len(changes)


def test_a_finished_dump_runs_the_model_no_more(tmp_path):
    model = tiny_model("smollm3")
    progress: list[DumpProgress] = []
    path = dump(model, tmp_path, progress=progress.append)
    assert [p.blocks_done for p in progress] == [1, 2, 3]
    read = sum(c.cursor["contexts_read"] for c in Store.open(path).commits.values())
    assert progress[-1].tokens == read * LENGTH
    assert progress[-1].tokens_per_second > 0
    before = contents(path)
    assert dump(model, tmp_path, progress=progress.append) == path
    assert len(progress) == 3
    assert contents(path) == before


def test_a_dump_of_fewer_rows_takes_the_first_of_a_longer_store(tmp_path):
    model, tokens = tiny_model("smollm3"), enough_tokens()
    path = dump(model, tmp_path, tokens=tokens)
    before, fewer = contents(path), tokens.first(2 * contexts_per_block(ROWS, LENGTH, 0.2))
    assert dump(model, tmp_path, tokens=fewer, n_blocks=2) == path
    assert contents(path) == before


@pytest.mark.parametrize("sealed", [True, False])
def test_a_lost_or_damaged_calibration_is_computed_again(tmp_path, sealed):
    model = tiny_model("smollm3")
    path = dump(model, tmp_path)
    sound, file = contents(path), path / "calibration.json"
    medians = load_calibration(path)
    for damaged in (
        sound[file.name][:-1],
        signed_json({"median_norms": medians | {"resid": 1.0}}),
        None,
    ):
        if damaged is None:
            file.unlink()
        else:
            file.write_bytes(damaged)
        if not sealed:
            (path / "SEALED.json").unlink()
        with pytest.raises(StoreError, match=r"calibration\.json: missing, or not what commits"):
            Store.open(path, require_sealed=False)
        file.unlink(missing_ok=True)
        dump(model, tmp_path)
        assert contents(path) == sound


@pytest.mark.slow
def test_killed_dumps_resume_to_the_same_bytes(tmp_path):
    here, kills = Path(__file__).parent, 8
    paths = [str(here), str(Path(sagsae.__file__).parents[1])]
    process = subprocess.run(
        [sys.executable, here / "dump_worker.py", tmp_path, "0", str(kills)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    left = [int(line) for line in process.stdout.split()]
    assert len(left) == kills, "too few dumps were killed while they ran"
    assert left[0] < left[-1] < 24, "the kills must hit an unfinished dump"
    assert left == sorted(left)
    whole, killed = (next((tmp_path / kind).iterdir()) for kind in ("whole", "killed"))
    assert contents(whole) == contents(killed)
    store = Store.open(killed)
    assert store.n_rows == 24 * 128
    assert verify_store(killed) == []
