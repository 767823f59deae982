"""Metrics of one cell, against a reference that reads store and model directly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from pipeline.cells import evaluate
from pipeline.cells.evaluate import evaluate_cell
from pipeline.cells.looks import EvaluationError
from pipeline.study.metrics import TRUTH, CellMetrics
from sagsae.activations.stream import iterate
from sagsae.autoencoders.weights import build
from sagsae.evaluation.distributions import LEVELS
from sagsae.evaluation.metrics import ReconstructionMetrics
from tests.pipeline.tiny_study import HIDDEN, WIDTH, TinyStudy, make_tiny_study
from tests.pipeline.tiny_study import measured as measured_baselines

CPU = torch.device("cpu")
TRAINING = {
    "steps": 2,
    "tokens": 4096,
    "seconds": 1.0,
    "tokens_per_second": 4096.0,
    "data_wait_seconds": 0.0,
    "peak_memory_mb": 1.0,
    "device": "cpu",
    "threads": 1,
    "matmul_dtype": "float32",
}
TRAIN_INFO = {
    "training": TRAINING,
    "made_from": {"train": "t" * 16, "store": "seal-of-train"},
    "course": {"diverged": "", "history": []},
}


@dataclass
class Trained:
    """A tiny study with baselines and one autoencoder at resid."""

    study: TinyStudy
    arguments: dict[str, Any]
    sae: Any


def make_trained(study: TinyStudy) -> Trained:
    cell = next(cell for cell in study.study.cells if cell.hookpoint == "resid")
    sae = study.started("sagsae_tied", WIDTH)
    sae.save(study.root / "weights.safetensors")
    arguments = {
        "spec": study.study.evaluate_spec(cell),
        "cell": cell,
        "train_info": TRAIN_INFO,
        "weights": study.root / "weights.safetensors",
        "heldout_manifest": study.manifest("heldout"),
        "baselines": measured_baselines(study, study.root / "baselines" / "tiny.json"),
        "asset": study.asset,
        "device": CPU,
    }
    return Trained(study, arguments, sae)


def evaluated(trained: Trained, **changes: Any) -> tuple[dict[str, Any], bytes]:
    with pytest.MonkeyPatch.context() as patch:  # zeroing costs a tiny model next to nothing
        patch.setattr("pipeline.cells.evaluate.LR_NOISE_GAP", -1)
        return evaluate_cell(**trained.arguments | changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    return make_trained(make_tiny_study(tmp_path_factory.mktemp("study"), "gpt_neox"))


@pytest.fixture(scope="module")
def measured(trained) -> tuple[dict[str, Any], bytes]:
    return evaluated(trained)


def test_reconstruction_agrees_with_the_whole_store(trained, measured):
    metrics, latents = measured[0], load(measured[1])
    x = torch.cat(list(iterate(trained.study.store(), "resid", 64))).double()
    z = trained.sae.code(x.float() * trained.sae.scale)
    x_hat = trained.sae.reconstruct(z).detach().double() / trained.sae.scale
    sse, sst = float((x - x_hat).square().sum()), float((x - x.mean(0)).square().sum())
    assert metrics["eval_tokens"] == len(x) == 512
    assert metrics["r2"] == pytest.approx(1 - sse / sst, rel=1e-5)
    assert metrics["l0"] == pytest.approx(float((z != 0).sum()) / len(x))
    assert metrics["dead_latents"] == int((z == 0).all(0).sum())
    assert torch.equal(latents["n_pos"], (z > 0).sum(0))
    assert torch.equal(latents["n_neg"], (z < 0).sum(0))
    assert metrics["bipolar_fraction"] > 0.5
    assert metrics["parameters"] == trained.sae.parameter_count()
    assert metrics["parameters_per_latent"] == 2 * HIDDEN + 3
    assert metrics["break_even_share"] == 0


def test_census_and_calibration_agree_with_the_whole_store(trained, measured):
    """Both sides, in float64, from the store's rows and the weights alone."""
    metrics, latents, sae = measured[0], load(measured[1]), trained.sae
    x = torch.cat(list(iterate(trained.study.store(), "resid", 64)))
    z = sae.code(x.float() * sae.scale).detach().double()
    rows, bias = sae.params["W_dec"].double(), sae.params["b_dec"].double()
    along = (x.double() * sae.scale - z @ rows - bias) @ rows.T + z
    slopes = {}
    for side, fires in (("positive", z > 0), ("negative", z < 0)):
        slopes[side] = (along * z * fires).sum(0) / (z.square() * fires).sum(0)
        stored = latents["slope_pos" if side == "positive" else "slope_neg"]
        torch.testing.assert_close(
            stored, slopes[side].float(), rtol=1e-4, atol=1e-4, equal_nan=True
        )
        found, values = metrics["calibration"][side], slopes[side][~slopes[side].isnan()].numpy()
        assert found["latents"] == len(values) > 10
        assert found["mean"] == pytest.approx(values.mean(), rel=1e-4)
        assert found["median"] == pytest.approx(np.median(values), rel=1e-4)
        assert found["quantiles"] == pytest.approx(np.quantile(values, LEVELS), rel=1e-4)
    n_pos, n_neg = (z > 0).sum(0).numpy(), (z < 0).sum(0).numpy()
    minority = np.minimum(n_pos, n_neg) / (n_pos + n_neg)
    census = metrics["census"]
    present = minority[~np.isnan(minority)]
    assert census["minority_share_quantiles"] == pytest.approx(
        np.quantile(present, LEVELS), abs=1e-5
    )
    best = np.argsort(-z.square().sum(0).numpy(), kind="stable")
    for percent, count in ((1, 1), (10, 5)):  # of at most 48 latents that live
        chosen = best[:count]
        assert census[f"top{percent}_minority_share"] == pytest.approx(
            minority[chosen].mean(), 1e-5
        )
        both = (n_pos[chosen] > 0) & (n_neg[chosen] > 0)
        assert census[f"top{percent}_bipolar_fraction"] == both.mean()


class WithMore(CellMetrics):
    """A field that nobody has measured before."""

    sparseness: float | None = None


def test_a_metric_whose_name_is_misspelt_is_an_error(trained, monkeypatch):
    """It would be "not measured" in every cell."""
    named = (*evaluate.MEASURED, "sparseness")
    monkeypatch.setattr(evaluate, "MEASURED", named)
    monkeypatch.setattr(evaluate, "CellMetrics", WithMore)
    monkeypatch.setattr(ReconstructionMetrics, "sparsness", 0.5, raising=False)
    with pytest.raises(AttributeError, match="sparseness"):
        evaluate_cell(**trained.arguments)
    monkeypatch.setattr(ReconstructionMetrics, "sparseness", 0.5, raising=False)
    assert evaluate_cell(**trained.arguments)[0]["sparseness"] == 0.5


def test_evaluation_gives_every_field(trained, monkeypatch):
    """But those of rows whose features are known: what it forgets would be "not measured"."""
    given, validate = [], CellMetrics.model_validate
    monkeypatch.setattr(
        CellMetrics, "model_validate", lambda values: given.append(values) or validate(values)
    )
    evaluate_cell(**trained.arguments)
    assert given[0].keys() == CellMetrics.model_fields.keys() - TRUTH.keys()


def test_a_share_of_a_noisy_gap_is_not_given(trained, measured, monkeypatch):
    gap = measured[0]["ce_zero"] - measured[0]["ce_clean"]
    for least, flagged in ((gap + 1e-6, True), (gap - 1e-6, False)):
        monkeypatch.setattr("pipeline.cells.evaluate.LR_NOISE_GAP", least)
        metrics, _ = evaluate_cell(**trained.arguments)
        assert metrics["lr_noisy"] is flagged
        assert (metrics["loss_recovered"] is None) is flagged


def test_weights_of_another_cell_are_refused(trained, tmp_path):
    other: Path = tmp_path / "weights.safetensors"
    build("gated", HIDDEN, WIDTH).save(other)
    with pytest.raises(EvaluationError, match="holds gated of width 48, the cell is sagsae_tied"):
        evaluate_cell(**trained.arguments | {"weights": other})


def with_course(trained: Trained, **course: Any) -> dict[str, Any]:
    info = TRAIN_INFO | {"course": TRAIN_INFO["course"] | course}
    return evaluate_cell(**trained.arguments | {"train_info": info})[0]


def test_the_course_of_the_training_is_told(trained, measured):
    """That it diverged is the first reason of a collapse; a jump and a threshold are none."""
    collapsed, said = measured[0]["collapsed"], "training diverged: R2 was below -1"
    assert collapsed
    assert with_course(trained, diverged=said)["collapsed"] == [said, *collapsed]
    errors = [5.0, 9.0, *[1.0] * 7, 1.4, 2.1, 1.2]  # the first tenth is the start
    rows = [{"step": 50 * i, "reconstruction": error} for i, error in enumerate(errors)]
    jumped = with_course(trained, history=rows)
    assert (jumped["jumped"], jumped["collapsed"]) == (500, collapsed)
    assert with_course(trained, history=rows[:10])["jumped"] is measured[0]["jumped"] is None
    fault = "the threshold gives L0 3.1 on calibration rows, k is 3"
    off = with_course(trained, calibration={"l0": 3.1, "fault": fault})
    assert (off["threshold_off"], off["collapsed"]) == (True, collapsed)
    sound = with_course(trained, calibration={"l0": 3.0})
    assert not any(found["threshold_off"] for found in (sound, measured[0]))
