"""Cells without a gate through the stages of a study: trained, evaluated, steered, shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pipeline.__main__ import main
from pipeline.cells.dial import dial
from pipeline.cells.evaluate import evaluate_cell
from pipeline.cells.train import train_cell
from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.study.browser import browser_specs
from pipeline.study.curves import curve_content
from pipeline.study.dial import LATENT, PAIR, DialRun
from pipeline.study.metrics import read_metrics
from pipeline.study.outputs import CURVE, METRICS, WEIGHTS
from pipeline.study.study import Study
from sagsae.autoencoders.registry import GATED, LAMBDA, VARIANTS, K
from sagsae.autoencoders.storage import load
from tests.pipeline.tiny_study import HIDDEN, TinyStudy, make_tiny_study, measured

pytestmark = [pytest.mark.long, pytest.mark.slow]
CPU = torch.device("cpu")
UNGATED = [name for name, known in VARIANTS.items() if known.family != GATED]
TOP, ABS = {"variant": "topk", "width": 96}, {"variant": "absbatchtopk", "width": 48}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> TinyStudy:
    return make_tiny_study(tmp_path_factory.mktemp("study"), "gpt_neox")


@pytest.fixture(scope="module")
def study(tiny) -> Study:
    """Every variant without a gate at resid; two k of the two that are compared."""
    knobs = {K: {"ks": [4]}, LAMBDA: {"lambdas": [0.05]}}
    rest = [
        {"variant": name, "width": 48, **knobs[VARIANTS[name].knob]}
        for name in UNGATED
        if name not in (TOP["variant"], ABS["variant"])
    ]
    asked = {
        "grid": [TOP | {"ks": [4, 8]}, ABS | {"ks": [4, 8]}, *rest],
        "comparisons": [{"candidate": ABS, "baseline": TOP, "matched_l0": [8]}],
        "dial": {"latents": 2, "pairs": 1, "contexts": 8, "hookpoints": ["resid"]},
        "browser": {"hookpoints": ["resid"], "top": 3, "samples": 2, "window": 5},
    }
    raw = tiny.study.config.model_dump()
    raw["training"] |= {"tokens": 64 * 60, "batch_size": 64, "learning_rate": 3e-3}
    return Study.from_dict(raw | asked)


@pytest.fixture(scope="module")
def cells(tiny, study) -> Path:
    """The folder of all cells at resid, trained and evaluated."""
    baselines = measured(tiny, tiny.root / "baselines" / "tiny.json")
    root = tiny.root / "cells"
    for cell in (cell for cell in study.cells if cell.hookpoint == "resid"):
        spec = study.train_spec(cell)
        sae, record = train_cell(spec, tiny.manifest("train"), CPU, tiny.root / "checkpoint")
        folder = root / cell.path
        folder.mkdir(parents=True)
        sae.save(folder / WEIGHTS)
        rows = record["course"]["history"]
        (folder / CURVE).write_bytes(curve_content(rows, cell, "1" * 16))
        found, _ = evaluate_cell(
            study.evaluate_spec(cell),
            cell,
            record,
            folder / WEIGHTS,
            tiny.manifest("heldout"),
            baselines,
            tiny.asset,
            CPU,
        )
        write_json(folder / METRICS, found)
    return root


def test_each_is_measured_and_says_its_knob(study, cells):
    for cell in (cell for cell in study.cells if cell.hookpoint == "resid"):
        metrics = read_metrics(cells / cell.path / METRICS, cell)
        assert metrics.cell == cell
        assert metrics.parameters_per_latent in (2 * HIDDEN + 1, 2 * HIDDEN + 2)
        if cell.variant in ("topk", "abstopk"):
            assert 0 < metrics.l0 <= cell.k
            assert cell.variant == "topk" or metrics.l0 == cell.k
        sae = load(cells / cell.path / WEIGHTS)
        assert (sae.name, sae.width) == (cell.variant, cell.width)
        assert sae.provenance.get(cell.knob_name) == cell.knob
        rows = sae.W_dec.norm(dim=1)
        torch.testing.assert_close(rows, torch.ones(cell.width), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def run(tiny, study, cells) -> tuple[Path, DialRun]:
    (spec,) = study.dials.values()
    found = dial(
        spec=spec,
        cells_root=cells,
        heldout_manifest=tiny.manifest("heldout"),
        baselines=measured(tiny, tiny.root / "baselines" / "again.json"),
        asset=tiny.asset,
        device=CPU,
    )
    made = DialRun.model_validate(found)
    write_json(tiny.root / "dial.json", made.model_dump())
    return tiny.root / "dial.json", made


def test_latents_of_both_sides_steer(study, cells, run):
    _, made = run
    assert made.candidate.cell.variant == "absbatchtopk"
    assert made.baseline.cell.variant == "topk"
    assert {made.candidate.cell.k, made.baseline.cell.k} <= {4, 8}
    kinds = [one.kind for one in made.directions]
    assert kinds.count(LATENT) == 2
    assert kinds.count(PAIR) == 1


def test_the_browser_shows_them(tiny, study, cells, run, tmp_path):
    manifest = tiny.manifest("heldout")
    spec_digest = digest(study.dump_spec("tiny", "heldout"))
    write_json(manifest, read_json(manifest) | {"spec": spec_digest})
    shown = []
    for file, spec in browser_specs(study).items():
        out = tmp_path / Path(file).relative_to(study.root)
        paths = {"cells-root": cells, "heldout-manifest": manifest}
        paths |= {"tokens": tiny.tokens, "asset": tiny.asset, "dials": run[0], "out": out}
        options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
        main(["browser-cell", "--spec", json.dumps(spec.model_dump()), *options, "--device", "cpu"])
        shown.append(read_json(out))
    assert {one["variant"] for one in shown} == {"TopK", "AbsBatchTopK"}
    for one in shown:
        assert one["k"] in (4, 8)
        assert "lambda" not in one
        assert f"_k{one['k']}_seed0" in one["name"]
