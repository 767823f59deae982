"""The stage that looks into signs, against the library on weights and codes that are read anew."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import sagsae
from pipeline.cells import signs as stage
from pipeline.cells.looks import EvaluationError
from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.study.cell import Cell
from pipeline.study.outputs import LATENT_TENSORS, METRICS, WEIGHTS
from pipeline.study.signs import SignsRun
from sagsae.activations.stream import iterate
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.weights import load
from tests.pipeline.cells.test_dial import with_cells
from tests.pipeline.tiny_study import make_tiny_study

GRID = [
    {"variant": "sagsae_tied", "width": 24, "lambdas": [0.1, 0.3], "seeds": [0, 1]},
    {"variant": "gated", "width": 48, "lambdas": [0.1, 0.3], "seeds": [0, 1]},
]
L0 = {("sagsae_tied", 0.1): 20, ("sagsae_tied", 0.3): 4, ("gated", 0.1): 5, ("gated", 0.3): 18}
"""The nearest L0 is at the other lambda."""
COLLAPSED = Cell(model="tiny", hookpoint="resid", variant="sagsae_tied", width=24, lam=0.3, seed=1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Made:
    """A tiny study with finished cells at resid, and what the stage finds."""

    arguments: dict[str, Any]
    x: Tensor
    run: SignsRun

    def sae(self, cell: Cell) -> Autoencoder:
        return load(self.arguments["cells_root"] / cell.path / WEIGHTS)

    @torch.no_grad()
    def codes(self, cell: Cell) -> Tensor:
        return self.sae(cell).encode(self.x)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    tiny = make_tiny_study(tmp_path_factory.mktemp("study"), "gpt_neox")
    study, given = with_cells(tiny, {"grid": GRID, "signs": {"hookpoints": ["resid"]}})
    (spec,) = study.looks["signs"].values()
    del given["asset"]
    given |= {"spec": spec, "out": tiny.root / "signs.json", "device": "cpu"}
    for cell in spec.cells:
        file, collapsed = given["cells_root"] / cell.path / METRICS, ["R2"] * (cell == COLLAPSED)
        changed = {"l0": L0[cell.variant, cell.lam], "collapsed": collapsed}
        write_json(file, read_json(file) | changed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "MOST_ROWS", 200)
        stage.main(**given)
    x = torch.cat(list(iterate(tiny.store(), "resid", 100)))
    return Made(given, x, SignsRun.read(given["out"]))


def test_every_cell_is_counted_a_collapsed_one_too(made):
    spec = made.arguments["spec"]
    assert (made.run.spec, made.run.rows) == (digest(spec), 171)  # every third of 512
    assert [one.cell for one in made.run.cells] == spec.cells
    assert [one.cell for one in made.run.cells if one.collapsed] == [COLLAPSED]
    for one in made.run.cells:
        codes, rows = made.codes(one.cell), made.sae(one.cell).W_dec
        counts = torch.stack([(codes > 0).sum(0), (codes < 0).sum(0)])
        assert one.live == int((counts.sum(0) > 0).sum())
        assert one.two_sided == int((counts.amin(0) / counts.sum(0) >= 0.1).sum())
        pairs = sagsae.signed_pairs(rows[counts.sum(0) > 0])
        assert (one.opposite, one.alike) == (pairs.opposite, pairs.alike)
        start = torch.randn(one.cell.width, rows.shape[1], generator=seeded(one.cell.seed))
        cosines = start @ made.x[::3].float().mean(0) / start.norm(dim=1)
        lowest = cosines.argsort()[: len(cosines) // 4]
        assert one.dead_against == pytest.approx((counts.sum(0)[lowest] == 0).double().mean())
    assert {one.two_sided > 0 for one in made.run.cells} == {True, False}


def test_seeds_are_compared_where_two_have_not_collapsed(made):
    found = {(one.cells[0].variant, one.cells[0].lam): one for one in made.run.agreements}
    assert set(found) == set(L0) - {("sagsae_tied", 0.3)}
    for (variant, _), one in found.items():
        live = [made.sae(cell).W_dec[(made.codes(cell) != 0).any(0)] for cell in one.cells]
        assert [cell.seed for cell in one.cells] == [0, 1]
        expected = asdict(sagsae.consistency(live, either_sign=variant == "sagsae_tied"))
        assert {name: getattr(one, name) for name in expected} == pytest.approx(expected, abs=1e-6)


def test_poles_are_sought_where_the_l0_is_nearest_and_the_seed_is_another(made):
    pairs = [(one.cell, one.one_sided) for one in made.run.poles]
    named = [(two.lam, two.seed, one.lam, one.seed) for two, one in pairs]
    assert named == [(0.1, 0, 0.3, 1), (0.1, 1, 0.3, 0), (0.3, 0, 0.1, 1)]
    for (two, one), found in zip(pairs, made.run.poles, strict=True):
        expected = sagsae.poles(made.sae(two), made.sae(one), [made.x[::3]])
        known = {name: getattr(found, name) for name in asdict(expected)}
        assert known == pytest.approx(asdict(expected), abs=1e-6)
    assert sum(one.both + one.one + one.neither for one in made.run.poles) > 0


def test_latents_of_other_weights_are_named(made):
    cell = made.arguments["spec"].cells[0]
    file = made.arguments["cells_root"] / cell.path / LATENT_TENSORS
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(EvaluationError, match=f"{LATENT_TENSORS}: not there, or not the one"):
        stage.main(**made.arguments)
