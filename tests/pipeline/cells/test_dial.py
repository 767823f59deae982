"""The stage that steers, against plain passes of the whole model and the whole store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.cells.dial import main as dial
from pipeline.cells.evaluate import evaluate_cell
from pipeline.cells.looks import EvaluationError
from pipeline.data.baselines import read_baselines
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.json_files import read_json, sha256_of, write_json
from pipeline.study.dial import LATENT, PAIR, RANDOM, DialRun, DialSpec
from pipeline.study.metrics import read_all
from pipeline.study.outputs import LATENT_TENSORS, METRICS, WEIGHTS
from pipeline.study.study import Study
from sagsae.activations.language_models import load_language_model, load_tokenizer
from sagsae.activations.stream import iterate
from sagsae.autoencoders.weights import build, load
from sagsae.evaluation.steering.directions import random_directions
from tests.pipeline.cells.test_evaluate import TRAIN_INFO
from tests.pipeline.tiny_study import HIDDEN, TinyStudy, make_tiny_study, measured

CPU = torch.device("cpu")
SIDES = {
    "candidate": {"variant": "sagsae_tied", "width": 48},
    "baseline": {"variant": "gated", "width": 96},
}
COMPARED = {
    "grid": [side | {"lambdas": [0.1, 0.3]} for side in SIDES.values()],
    "comparisons": [SIDES | {"matched_l0": [8]}],
}
PLAN = {"latents": 3, "pairs": 2, "random": 4, "alphas": [0.5, 1], "contexts": 8, "positions": 4}
PLAN["hookpoints"] = ["resid"]


@dataclass
class Steered:
    """A tiny study with metrics and weights of both sides at resid, and its dial."""

    tiny: TinyStudy
    study: Study
    arguments: dict[str, Any]

    @property
    def spec(self) -> DialSpec:
        return self.arguments["spec"]

    @property
    def cells(self) -> Path:
        return self.arguments["cells_root"]


@pytest.fixture(scope="module")
def steered(tmp_path_factory) -> Steered:
    tiny = make_tiny_study(tmp_path_factory.mktemp("study"), "gpt_neox")
    study, arguments = with_cells(tiny, COMPARED | {"dial": PLAN})
    assert study.baseline_spec("tiny") == tiny.spec
    (spec,) = study.looks["dial"].values()
    arguments |= {"spec": spec, "baselines": tiny.root / "baselines" / "tiny.json"}
    return Steered(tiny, study, arguments | {"out": tiny.root / "dial.json", "device": "cpu"})


def with_cells(tiny: TinyStudy, asked: dict[str, Any]) -> tuple[Study, dict[str, Any]]:
    """A tiny study with other sections and finished cells at resid; what each look reads of it."""
    baselines = measured(tiny, tiny.root / "baselines" / "tiny.json")
    study = Study.from_dict(tiny.study.config.model_dump() | asked)
    for cell in study.cells:
        if cell.hookpoint == "resid":
            make_cell(tiny, study, cell, tiny.root / "cells", baselines)
    arguments = {"cells_root": tiny.root / "cells", "asset": tiny.asset}
    return study, arguments | {"heldout": tiny.manifest("heldout")}


def make_cell(tiny: TinyStudy, study: Study, cell, root: Path, baselines: Path) -> None:
    """Weights as training finds them at its start, shut further at the larger lambda."""
    sae = tiny.started(cell.variant, cell.width, cell.seed)
    if cell.variant == "gated":
        sae.params["b_gate"].fill_(-0.3 if cell.lam == 0.1 else -0.6)
    elif cell.lam == 0.3:
        sae.params["theta"].mul_(2.5)
    folder = root / cell.path
    folder.mkdir(parents=True)
    sae.save(folder / WEIGHTS)
    found, latents = evaluate_cell(
        study.evaluate_spec(cell),
        cell,
        TRAIN_INFO,
        folder / WEIGHTS,
        tiny.manifest("heldout"),
        baselines,
        tiny.asset,
        CPU,
    )
    (folder / LATENT_TENSORS).write_bytes(latents)
    write_json(folder / METRICS, found)


@pytest.fixture(scope="module")
def run(steered) -> DialRun:
    dial(**steered.arguments)
    return DialRun.read(steered.arguments["out"])


def rows(steered: Steered) -> torch.Tensor:
    return torch.cat(list(iterate(steered.tiny.store(), "resid", 64))).double()


def codes(steered: Steered, side: Any) -> tuple[torch.Tensor, Any]:
    sae = load(steered.cells / side.cell.path / WEIGHTS)
    return sae.code(rows(steered).float() * sae.scale).detach().double(), sae


def test_the_cells_are_those_nearest_the_matched_l0(steered, run):
    metrics = read_all(steered.cells, steered.spec.candidate + steered.spec.baseline)
    for side, cells in (("candidate", steered.spec.candidate), ("baseline", steered.spec.baseline)):
        found = getattr(run, side)
        away = {cell: abs(np.log(metrics[cell].l0 / 8)) for cell in cells}
        assert found.cell == min(away, key=away.__getitem__)
        assert len(set(away.values())) == 2
        assert found.l0 == metrics[found.cell].l0
        assert found.weights_sha256 == sha256_of(steered.cells / found.cell.path / WEIGHTS)


def test_the_strongest_two_sided_latents_come_first(steered, run):
    z, sae = codes(steered, run.candidate)
    energy = z.square().sum(0)
    both = ((z > 0).any(0) & (z < 0).any(0)).nonzero().flatten().tolist()
    expected = sorted(both, key=lambda i: -float(energy[i]))[:3]
    latents = [one for one in run.directions if one.kind == LATENT]
    assert [one.latents for one in latents] == [[i] for i in expected]
    assert [one.rank for one in latents] == [1, 2, 3]
    x = rows(steered)
    spread = float((x - x.mean(0)).square().sum(1).mean().sqrt())
    assert run.unit == pytest.approx(spread, rel=1e-5)
    for one in latents:
        own = z[:, one.latents[0]] / sae.scale / spread
        sizes = [float(part.square().mean().sqrt()) for part in (own[own > 0], own[own < 0])]
        assert one.own_sizes == pytest.approx(sizes, rel=1e-4)
        assert one.contribution == pytest.approx(float(energy[one.latents[0]] / energy.sum()), 1e-4)


def arms(steered: Steered, run: DialRun, kind: str) -> tuple[int, torch.Tensor, torch.Tensor]:
    """The number of the first direction of a kind, and what each sense of it adds at size 1."""
    number = [one.kind for one in run.directions].index(kind)
    one = run.directions[number]
    if kind == RANDOM:
        plus = random_directions(4, HIDDEN, seed=0)[0]
        return number, plus, -plus
    decoder = codes(steered, run.candidate if kind == LATENT else run.baseline)[1].params["W_dec"]
    chosen = torch.nn.functional.normalize(decoder[one.latents])
    return number, chosen[0], -chosen[0] if kind == LATENT else chosen[1]


@pytest.mark.parametrize("kind", [LATENT, PAIR, RANDOM])
def test_curves_agree_with_plain_hooks_on_the_whole_model(steered, run, kind):
    number, plus, minus = arms(steered, run, kind)
    found = run.directions[number]
    kept = read_baselines(steered.arguments["baselines"]).contexts.kept[:8]
    ids = torch.from_numpy(open_tokens(steered.tiny.tokens).input_ids[:8]).long()
    model = load_language_model(steered.tiny.root / "model", torch.bfloat16)
    read = torch.zeros_like(kept)
    for b, one in enumerate(kept):
        places = one.nonzero().flatten()
        read[b, places[[(2 * i + 1) * len(places) // 8 for i in range(4)]]] = True

    def logits(size: float) -> torch.Tensor:
        vector = abs(size) * run.unit * (plus if size > 0 else minus)

        def hook(module, inputs, output):
            moved = (output.float() + vector).to(output.dtype)
            return torch.where(kept[..., None], moved, output)

        handle = model.gpt_neox.layers[2].register_forward_hook(hook)
        with torch.no_grad():
            whole = model(input_ids=ids, use_cache=False).logits.double()
        handle.remove()
        return whole

    clean = logits(0.0)
    words = load_tokenizer(steered.tiny.root / "model")
    chosen = read & (torch.arange(8) < 4)[:, None]
    tokens = [
        (logits(size)[chosen].mean(0) - clean[chosen].mean(0)).topk(10).indices for size in (1, -1)
    ]
    assert found.promoted == [[words.decode([int(i)]) for i in arm] for arm in tokens]
    measure = read & ~chosen
    before = clean[measure]
    assert run.sizes == [-1, -0.5, 0, 0.5, 1]
    for i, size in enumerate(run.sizes):
        after = logits(size)[measure]
        p, q = before.log_softmax(-1), after.log_softmax(-1)
        assert found.kl[i] == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), abs=1e-4)
        change = after - before
        moved = change[:, tokens[0]].mean() - change[:, tokens[1]].mean()
        assert found.effect[i] == pytest.approx(float(moved), rel=0.02, abs=2e-3)
    assert found.effect[-1] - found.effect[0] > 0.02
    assert (run.contexts, run.positions) == (4, int(measure.sum()))


def test_what_does_not_belong_together_is_refused(steered, tmp_path):
    cell = next(iter(steered.spec.of_seed(steered.spec.candidate).values()))
    weights = steered.cells / cell.path / WEIGHTS
    kept, metrics = weights.read_bytes(), steered.cells / cell.path / METRICS
    one = steered.spec.model_copy(update={"candidate": [cell]})
    try:
        build("sagsae_tied", HIDDEN, 48).save(weights)
        with pytest.raises(EvaluationError, match="not the one that its metrics are of"):
            dial(**steered.arguments | {"spec": one})
    finally:
        weights.write_bytes(kept)
    before = metrics.read_bytes()
    try:
        write_json(metrics, read_json(metrics) | {"l0": 0.0})
        with pytest.raises(EvaluationError, match="no cell of the candidate fires"):
            dial(**steered.arguments | {"spec": one})
    finally:
        metrics.write_bytes(before)
    elsewhere = steered.spec.model_copy(update={"hookpoint": "attn"})
    with pytest.raises(ValueError, match="has mlp_out, resid but not attn"):
        dial(**steered.arguments | {"spec": elsewhere})
