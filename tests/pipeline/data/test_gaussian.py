"""Models that are like another one: Gaussian rows with mean and covariance of its store."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.cells.evaluate import evaluate_cell
from pipeline.cells.train import train_cell
from pipeline.data.baselines import main as run_baselines
from pipeline.data.gaussian import main as draw
from pipeline.data.manifests import open_store
from pipeline.jobs.json_files import digest
from pipeline.study.outputs import SPLITS
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from sagsae.activations.stream import iterate
from tests.pipeline.tiny_study import ROWS, make_tiny_study


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The finished stages of a real model, and a study that has one like it, too."""
    tiny = make_tiny_study(tmp_path_factory.mktemp("gaussian"), "gpt_neox")
    raw = tiny.study.configuration
    raw["training"] |= {"batch_size": 64, "tokens": 8192}
    raw["models"].append({"name": "gauss", "like": "tiny"})
    return tiny, Study.from_dict(raw)


def drawn(made, folder):
    """Manifests by split."""
    (tiny, study), found = made, {}
    for split in SPLITS:
        found[split], spec = folder / f"gauss-{split}.json", study.dump_spec("gauss", split)
        pair = tiny.manifest("train"), tiny.manifest(split)
        draw(spec, *pair, cache=folder / "cache", out=found[split])
    return found


def values(manifest, hookpoint="resid") -> torch.Tensor:
    return next(iterate(open_store(manifest), hookpoint, 2 * ROWS)).double()


def test_rows_have_the_moments_of_the_training_store_and_its_tokens(made, tmp_path):
    (tiny, study), manifests = made, drawn(made, tmp_path / "one")
    real = values(tiny.manifest("train"))
    for split, manifest in manifests.items():
        found = values(manifest)
        assert open_store(manifest, study.stores["gauss", split]).n_rows == len(found) == 2 * ROWS
        # The covariance of whitened rows is a Wishart matrix around the identity.
        covariance, near = real.T.cov(correction=0), found - real.mean(0)
        white = torch.linalg.solve(torch.linalg.cholesky(covariance), near.T).T
        assert white.mean(0).abs().max() < 5 / len(white) ** 0.5
        assert (white.T @ white / len(white) - torch.eye(white.shape[1])).abs().max() < 0.35
        assert abs(white.pow(4).mean() - 3) < 0.3
        for block in range(2):
            stores = open_store(manifest), open_store(tiny.manifest(split))
            np.testing.assert_equal(*(store.read_tokens(block) for store in stores))
    again = drawn(made, tmp_path / "again")
    assert all(torch.equal(values(manifests[key]), values(again[key])) for key in SPLITS)
    blocks = [rows for key in SPLITS for rows in values(manifests[key]).split(ROWS)]
    assert len({float(block.sum()) for block in blocks}) == 4  # each has a seed of its own


def test_a_cell_trains_and_evaluates_on_them(made, tmp_path):
    (tiny, study), manifests = made, drawn(made, tmp_path)
    baselines, pair = tmp_path / "gauss.json", (manifests["train"], manifests["heldout"])
    given = study.baseline_spec("gauss"), tiny.asset, tiny.tokens
    run_baselines(*given, *pair, tmp_path / "cache", baselines, "cpu")
    cell = next(one for one in study.cells if (one.model, one.hookpoint) == ("gauss", "resid"))
    sae, record = train_cell(study.train_spec(cell), pair[0], torch.device("cpu"), tmp_path / "c")
    sae.save(tmp_path / "weights")
    rest = record, tmp_path / "weights", pair[1], baselines, tiny.asset, torch.device("cpu")
    metrics, _ = evaluate_cell(study.evaluate_spec(cell), cell, *rest)
    assert 0 < metrics["r2"] < 1


def test_the_configuration_takes_all_but_the_name_and_no_digest_of_a_real_model_changes(made):
    tiny, study = made
    real, like = study.config.models
    assert like == real.model_copy(update={"name": "gauss", "like": "tiny"})
    assert digest(study.dump_spec("tiny", "train")) == digest(tiny.study.dump_spec("tiny", "train"))
    assert digest(study.token_spec("gauss", "train")) == digest(study.token_spec("tiny", "train"))
    raw = study.configuration
    assert Study.from_dict(raw).config == study.config
    raw["models"] += [{"name": "far", "like": "gauss"}, {"name": "odd", "like": "tiny", "layer": 1}]
    raw["hookpoints"] = []  # a section of its own
    with pytest.raises(ConfigError) as caught:
        Study.from_dict(raw)
    assert [line.strip() for line in str(caught.value).splitlines()[1:3]] == [
        "models.2.like: unknown 'gauss'; known are tiny",
        "models.3.like: layer: taken from tiny, leave it out",
    ]
