"""The folder for the hub of the smoke study, and every cell of it in SAELens."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import load_file, save_file

import sagsae
from pipeline.study.cell import Cell
from tests.peers import environment

pytestmark = pytest.mark.long

ROWS = 2048


@pytest.fixture(scope="module")
def hub(smoke):
    done = smoke.run("hub_folder")
    assert done.returncode == 0, done.stdout
    assert smoke.planned("hub_folder") == {}
    return smoke.path(smoke.study.hub_card).parent


def held_out(smoke, cell: Cell) -> torch.Tensor:
    """The first held-out rows of a cell's hookpoint, float32."""
    store = smoke.entry(smoke.study.manifest(cell.model, "heldout"))
    bits = zarr.open_group(store / "data.zarr", mode="r")[cell.hookpoint][:ROWS]
    return torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float()


def test_every_cell_is_there_with_card_and_figure(smoke, hub):
    names = {path.relative_to(hub).as_posix() for path in hub.rglob("*") if path.is_file()}
    files = ("cfg.json", "metrics.json", "sae.safetensors", "sae_weights.safetensors")
    cells = {f"{cell.path}/{name}" for cell in smoke.study.cells for name in files}
    assert names == cells | {"README.md", "figure_r2.png"}
    assert "![R2 against L0](figure_r2.png)" in (hub / "README.md").read_text()


def test_saelens_computes_what_the_study_measured(smoke, hub, tmp_path):
    """All variants and hookpoints, in float64; weights are rounded to float32 in either file."""
    jobs, rows = [], {}
    for i, cell in enumerate(smoke.study.cells):
        place = tmp_path / f"{cell.model}-{cell.hookpoint}"
        if place not in rows:
            rows[place] = held_out(smoke, cell)
            save_file({"x": rows[place]}, place)
        job = {"name": str(i), "folder": str(hub / cell.path), "dtype": "float64"}
        jobs.append(job | {"rows": str(place)})
    (tmp_path / "jobs").write_text(json.dumps(jobs))
    known = json.loads(environment.run("saelens.py", tmp_path / "jobs", tmp_path / "out"))
    found = load_file(tmp_path / "out")
    for i, cell in enumerate(smoke.study.cells):
        x = held_out(smoke, cell).double()
        sae = sagsae.load(hub, cell.path).double()
        z = sae.encode(x * sae.scale)
        x_hat, theirs = sae.decode(z) / sae.scale, found[f"{i}.x_hat"]
        assert abs(int((found[f"{i}.f"] != 0).sum()) - int((z != 0).sum())) <= 2, cell.path
        off = (theirs - x_hat).norm(dim=1) > 1e-6 * x_hat.norm(dim=1)
        assert int(off.sum()) <= 2, cell.path
        config = known[str(i)]
        assert config["class"] == "GatedSAE"
        assert config["metadata"]["cell"] == cell.path
        assert config["d_sae"] == cell.width * (1 + sae.two_sided)
