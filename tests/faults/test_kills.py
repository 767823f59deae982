"""SIGKILL at random instants: what follows must end as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import assets, baselines, dump, tokenise
from pipeline.cell import Cell
from pipeline.study import SPLITS, Study, canonical

CONFIG: dict[str, Any] = {
    "study": "kills",
    "models": [
        {
            "name": "m",
            "source": {
                "kind": "random",
                "architecture": "smollm3",
                "parameters": {
                    "num_hidden_layers": 2,
                    "hidden_size": 32,
                    "num_attention_heads": 4,
                    "num_key_value_heads": 2,
                    "intermediate_size": 64,
                },
            },
            "d_model": 32,
            "layer": 0,
        }
    ],
    "hookpoints": ["mlp_out", "resid"],
    "text": {
        "source": {"kind": "random", "documents": 2000, "words": 60},
        "context_length": 32,
        "heldout_fraction": 0.2,
    },
    "dump": {
        "train_rows": 32768,
        "heldout_rows": 4096,
        "rows_per_block": 1024,
        "rows_per_chunk": 256,
        "batch_contexts": 16,
        "slack": 0.1,
    },
    "grid": [{"variant": "sagsae_tied", "width": 64, "lambdas": [0.1]}],
    "training": {"tokens": 1500 * 256, "batch_size": 256, "reset_window_tokens": 25600},
    "evaluation": {"lr_contexts": 16},
}


class Stages:
    """The command line of every stage of one small study, and where its files are."""

    def __init__(self, root: Path) -> None:
        self.root, self.study = root, Study.from_dict(CONFIG)
        self.asset, self.documents = root / "m" / "asset.json", root / "text" / "documents.json"
        self.cell = self.study.cells[0]

    def tokens(self, split: str) -> Path:
        return self.root / "tokens" / f"m-{split}.safetensors"

    def manifest(self, split: str) -> Path:
        return self.root / "manifests" / f"m-{split}.json"

    def cell_folder(self, cell: Cell) -> Path:
        return self.root / "cells" / cell.path

    def tokenise(self, split: str, out: Path | None = None) -> list[str]:
        spec = canonical(self.study.token_spec("m", split))
        inputs = ["--asset", self.asset, "--documents", self.documents]
        return text("--spec", spec, *inputs, "--out", out or self.tokens(split))

    def dump(self, split: str, acts: Path | None = None, out: Path | None = None) -> list[str]:
        spec = canonical(self.study.dump_spec("m", split))
        inputs = ["--asset", self.asset, "--tokens", self.tokens(split)]
        inputs += ["--calibration-tokens", self.tokens("train")]
        acts = acts or self.root / "activations"
        places = ["--acts-root", acts, "--out", out or self.manifest(split)]
        return text("--spec", spec, *inputs, *places, "--device", "cpu")

    def baselines(self) -> list[str]:
        inputs = ["--asset", self.asset, "--tokens", self.tokens("heldout")]
        inputs += [f"--{split}-manifest={self.manifest(split)}" for split in SPLITS]
        out = self.root / "baselines" / "m.json"
        return text("--spec", canonical(self.study.baseline_spec("m")), *inputs, "--out", out)

    def run_cell(self, out: Path) -> list[str]:
        specs = ["--train-spec", canonical(self.study.train_spec(self.cell))]
        specs += ["--evaluate-spec", canonical(self.study.evaluate_spec(self.cell))]
        inputs = [f"--{split}-manifest={self.manifest(split)}" for split in SPLITS]
        inputs += ["--baselines", self.root / "baselines" / "m.json", "--asset", self.asset]
        options = ["--checkpoint-seconds", "0.02", "--device", "cpu"]
        return text(*specs, *inputs, *options, "--out", out / "metrics.json")


def text(*parts: object) -> list[str]:
    return [str(part) for part in parts]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """Everything that a cell needs, made without a kill."""
    made = Stages(tmp_path_factory.mktemp("kills"))
    assets.make_model(made.study.asset_spec("m"), made.asset)
    assets.make_text(made.study.text_spec(), made.documents)
    with pytest.MonkeyPatch.context() as patch:
        for module, arguments in (
            *((tokenise, made.tokenise(split)) for split in SPLITS),
            *((dump, made.dump(split)) for split in SPLITS),
            (baselines, made.baselines()),
        ):
            patch.setattr(sys, "argv", ["stage", *arguments])
            module.main()
    return made


def killed(campaign, tmp_path: Path, kind: str, kills: int, plan: dict[str, Any]) -> int:
    """Run the campaign of ``tests.faults.killer`` and hold it to the promise.

    Returns:
        How many kills left something to continue from.
    """
    file, log = tmp_path / "plan.json", tmp_path / "log"
    seed = campaign.chance("kill", kind).randrange(2**32)
    paths = {key: [str(path) for path in plan[key]] for key in ("result", "made")}
    whole = {"seed": seed, "kills": kills, "log": str(log), "root": str(tmp_path)}
    whole |= {"watch": "no file", "checkpoints": "no file"} | plan | paths
    file.write_text(json.dumps(whole))
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killer", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + log.read_text()
    found = json.loads(done.stdout)
    equal = [value == found["digest"] for value in found["digests"]]
    recovered = kills if all(equal) else 0
    campaign.record(
        kind, injected=kills, detected=found["kills"], recovered=recovered, lost=found["lost"]
    )
    campaign.same(f"{kind}: result after the kills", found["digest"], found["digests"][-1])
    assert found["kills"] == kills
    assert equal
    assert all(equal)
    assert found["lost"] == 0
    leftovers = [p for p in tmp_path.rglob("*") if p.name.endswith((".partial", ".tmp"))]
    assert leftovers == []
    return found["resumable"]


def test_a_killed_tokeniser(campaign, stages, tmp_path):
    out = tmp_path / "tokens" / "m-train.safetensors"
    plan = {"module": "pipeline.tokenise", "arguments": stages.tokenise("train", out)}
    plan |= {"result": [out], "made": [out]}
    killed(campaign, tmp_path, "SIGKILL: tokenise", campaign.times(full=20, short=3), plan)


def test_a_killed_dump(campaign, stages, tmp_path):
    acts, out = tmp_path / "activations", tmp_path / "manifests" / "m-train.json"
    plan = {"module": "pipeline.dump", "arguments": stages.dump("train", acts, out)}
    plan |= {"result": [acts, out], "made": [acts, out], "watch": "activations/*/commits/*.json"}
    kills = campaign.times(full=50, short=5)
    assert killed(campaign, tmp_path, "SIGKILL: dump", kills, plan) > kills // 5


def test_a_killed_cell(campaign, stages, tmp_path):
    """Weights, latents, training history and metrics; the time between checkpoints is tiny."""
    out = tmp_path / "cell"
    plan = {"module": "pipeline.run_cell", "arguments": stages.run_cell(out)}
    names = ("sae.safetensors", "latents.safetensors", "training.json", "metrics.json")
    plan |= {"result": [out / name for name in names], "made": [out]}
    plan |= {"checkpoints": "cell/.state/checkpoint-*.safetensors"}
    kills = campaign.times(full=40, short=5)
    assert killed(campaign, tmp_path, "SIGKILL: train and evaluate", kills, plan) > kills // 5
