"""Rows of known features: their store, what becomes of a kill and of damage, and cells on them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.analysis.tables.cells import cell_table
from pipeline.analysis.tables.truth import visible_table
from pipeline.cells.run import main as run_cell
from pipeline.data.features import drawn_again, read_features
from pipeline.data.features import main as draw
from pipeline.data.manifests import open_store
from pipeline.study.metrics import read_all
from pipeline.study.outputs import SPLITS, WEIGHTS
from pipeline.study.sections import CellNameError, ConfigError
from pipeline.study.study import Study
from sagsae import judged, load
from sagsae.activations.layout import FEATURES, StoreError, commit_name
from sagsae.activations.stream import iterate

D, ROWS = 8, 256
CONFIG = {
    "study": "known",
    "models": [
        {
            "name": "pairs",
            "source": {"kind": "features", "features": 24, "opposites": 0.5},
            "d_model": D,
        }
    ],
    "hookpoints": ["rows"],
    "dump": {
        "train_rows": 2 * ROWS,
        "heldout_rows": ROWS,
        "rows_per_block": ROWS,
        "rows_per_chunk": 64,
    },
    "grid": [{"variant": "absbatchtopk", "width": 16, "ks": [2, 4]}],
    "training": {"tokens": 2048, "batch_size": 128},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study, its stores and its cells."""
    folder = tmp_path_factory.mktemp("features")
    study = Study.from_dict(CONFIG | {"results": str(folder)})
    manifests = {split: Path(study.manifest("pairs", split)) for split in SPLITS}
    for split, manifest in manifests.items():
        draw(study.dump_spec("pairs", split), folder / "cache", manifest)
    for cell in study.cells:
        run_cell(
            study.train_spec(cell),
            study.evaluate_spec(cell),
            manifests["train"],
            manifests["heldout"],
            Path(study.metrics(cell)),
            device="cpu",
        )
    return study, manifests


def test_a_store_has_the_rows_of_its_features(made):
    """The order of rows within a block is the store's own; each split has rows of its own."""
    study, manifests = made
    sums = set()
    for split, manifest in manifests.items():
        store = open_store(manifest, study.stores["pairs", split])
        drawn = torch.cat([block.x for block in drawn_again(store, read_features(store))])
        rows = next(iterate(store, "rows", len(drawn)))
        for ours, theirs in zip(rows.split(ROWS), drawn.bfloat16().split(ROWS), strict=True):
            assert sorted(ours.tolist()) == sorted(theirs.tolist())
            sums.add(float(ours.sum()))
    assert len(sums) == 3


def test_a_killed_store_is_continued_and_other_features_are_refused(made, tmp_path):
    study, manifests = made
    spec, cache = study.dump_spec("pairs", "train"), tmp_path / "cache"
    draw(spec, cache, tmp_path / "train.json")
    whole = open_store(tmp_path / "train.json")
    assert whole.digest() == open_store(manifests["train"]).digest()
    whole.storage.delete("SEALED.json")
    whole.storage.delete(commit_name(1))
    draw(spec, cache, tmp_path / "again.json")
    assert open_store(tmp_path / "again.json").digest() == whole.digest()
    drawn_from = whole.storage.read(FEATURES)
    whole.storage.write(FEATURES, drawn_from[:-1] + b"x")
    with pytest.raises(StoreError, match="damaged"):
        read_features(whole)
    whole.storage.delete(FEATURES)
    with pytest.raises(StoreError, match="damaged"):
        read_features(whole)


def test_a_store_that_goes_on_with_other_features_is_refused(made, tmp_path):
    """As where the file was lost, and another machine made it again with other rounding."""
    study, _ = made
    spec, cache = study.dump_spec("pairs", "train"), tmp_path / "cache"
    draw(spec, cache, tmp_path / "train.json")
    store = open_store(tmp_path / "train.json")
    store.storage.delete("SEALED.json")
    store.storage.delete(commit_name(1))
    other = read_features(store)
    other.bias.mul_(1.5)
    store.storage.write(FEATURES, other.to_bytes())
    draw(spec, cache, tmp_path / "again.json")
    with pytest.raises(StoreError, match="damaged"):
        read_features(open_store(tmp_path / "again.json"))


def test_cells_are_judged_by_the_features_and_lose_no_nats(made):
    study, manifests = made
    store = open_store(manifests["heldout"])
    features = read_features(store)
    for cell, metrics in read_all(Path(study.cells_root), study.cells).items():
        truth = judged(load(study.cell_file(cell, WEIGHTS)), features, drawn_again(store, features))
        for name in ("f1", "mcc", "uniqueness", "shrinkage", "true_l0"):
            assert getattr(metrics, name) == pytest.approx(getattr(truth, name), rel=1e-6)
        assert metrics.loss_added is metrics.loss_recovered is None
        assert 0 < metrics.f1 < 1


def test_numbers_that_can_be_seen_are_set_beside_the_truth(made):
    """Among cells whose F1 rises with R2, ranks agree whole; two points are too few."""
    study, _ = made
    table = cell_table(read_all(Path(study.cells_root), study.cells))
    points = table.loc[[0] * 6].reset_index(drop=True)
    points = points.assign(alive=1 - points["dead_fraction"], l0=points["true_l0"] * 1.2)
    points["r2"], points["f1"] = points.index / 10, points.index / 20
    rows = visible_table(points, [])
    rows = rows[rows["width"].isna()].set_index(["truth", "visible", "points_from"])
    assert rows.loc[("f1", "r2", "near"), "correlation"] == pytest.approx(1)
    assert rows.loc[("f1", "r2", "all"), "n"] == 6
    assert "mcc" not in rows.index.get_level_values("truth")  # it is constant
    assert visible_table(points.head(2), []).empty


def test_what_needs_a_language_model_is_refused(made):
    study, _ = made
    assert Study.from_dict(study.configuration).config == study.config
    with pytest.raises(CellNameError, match="no language model"):
        study.export_spec(study.cells[0])
    (model,) = CONFIG["models"]
    words = {"name": "words", "source": {"kind": "random", "architecture": "llama"}, "d_model": D}
    changes = {
        "layer: rows of known features have none": {"models": [model | {"layer": 1}]},
        "text: missing": {"models": [model, words | {"layer": 0}]},
        "models.1.like: pairs": {"models": [model, {"name": "null", "like": "pairs"}]},
        "dial: pairs is no language model": {"dial": {}},
        "no module path for hookpoint 'resid'": {"hookpoints": ["resid"]},
    }
    for message, change in changes.items():
        with pytest.raises(ConfigError, match=message):
            Study.from_dict(CONFIG | change)
