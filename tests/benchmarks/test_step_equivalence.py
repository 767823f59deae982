"""The comparison of both steps on a small store of sparse rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from benchmarks import step_equivalence
from benchmarks.workflow import TINY
from pipeline.data.manifests import describe
from pipeline.jobs.cache import write_record
from pipeline.study.study import Study
from tests.sagsae.samples import WIDTH, sparse_store


@pytest.fixture
def configuration(tmp_path):
    """A study of two sweeps whose stores are there."""
    grid = {"variant": "gated", "width": 32, "lambdas": [0.04, 0.01, 0.02], "seeds": [0, 1]}
    raw = TINY | {
        "results": str(tmp_path),
        "models": [TINY["models"][0] | {"d_model": WIDTH}],
        "grid": [grid, grid | {"variant": "sagsae_tied", "width": 16}],
        "training": {"tokens": 12800, "batch_size": 64, "learning_rate": 0.001},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw))
    study = Study.load(path)
    for seed, split in enumerate(("train", "heldout")):
        store = sparse_store(tmp_path / split, seed, blocks=4)
        manifest = Path(study.manifest("m", split))
        write_record(manifest, describe(store, study.dump_spec("m", split)), store.path)
    return path


@pytest.mark.slow
def test_both_steps_and_their_spread_are_printed(configuration, monkeypatch, capsys):
    arguments = ["--configfile", str(configuration), "--seeds", "3", "--plain-seeds", "2"]
    monkeypatch.setattr("sys.argv", ["step_equivalence", *arguments])
    step_equivalence.main()
    printed = capsys.readouterr().out
    cells = re.findall(r"^\| (m/\S+)", printed, re.MULTILINE)
    assert cells == ["m/resid/gated/w32_lam0.02_seed0", "m/resid/sagsae_tied/w16_lam0.02_seed0"]
    for name in ("R2", "L0"):
        pattern = rf"{name}: fast less plain (\S+) .* square (\S+); two seeds differ by (\S+)"
        assert printed.count("over 4 pairs") == 2
        gap, size, noise = map(float, re.search(pattern, printed).groups())
        assert abs(gap) <= size < noise
