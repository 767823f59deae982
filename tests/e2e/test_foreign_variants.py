"""A package of a user's own: a gate and an autoencoder in plain PyTorch, to tables and figures."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from tests.e2e.conftest import ROOT, Workflow

pytestmark = pytest.mark.long

PACKAGE = '''
"""Two autoencoders that the library does not know."""

import torch
from torch import nn

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.dictionary import Sides
from sagsae.autoencoders.gate import GatedAutoencoder


class OneBias(GatedAutoencoder):
    """A two-sided gate whose threshold is its only vector."""

    vectors = thresholds = ("theta",)
    two_sided = True

    def sides(self, v):
        zero = torch.zeros_like(v["theta"])
        return Sides.shared(v["theta"], zero, zero, two_sided=True)


class Plain(Autoencoder):
    """ReLU and an L1 penalty, differentiated by autograd."""

    def __init__(self, d, width, scale=1.0):
        super().__init__(d, width, scale)
        self.W_enc = nn.Parameter(torch.empty(d, width))
        self.W_dec = nn.Parameter(torch.empty(width, d))
        self.b_dec = nn.Parameter(torch.zeros(d))

    def initialise(self, mean, seed, recipe=None):
        rows = torch.randn(self.width, self.d, generator=torch.Generator().manual_seed(seed))
        rows /= rows.norm(dim=1, keepdim=True)
        self.params["W_dec"].copy_(rows)
        self.params["W_enc"].copy_(rows.T)
        self.params["b_dec"].copy_(mean)

    def encode(self, x):
        return torch.relu((x - self.b_dec) @ self.W_enc)

    def decode(self, z):
        return z @ self.W_dec + self.b_dec

    def loss(self, x, lam):
        z = self.encode(x)
        return {
            "reconstruction": (x - self.decode(z)).square().sum(1).mean(),
            "sparsity": lam * z.sum(1).mean(),
        }

    def constrain(self):
        rows = self.W_dec.detach()
        rows /= rows.norm(dim=1, keepdim=True)
'''
GATE, PLAIN = "their_package.autoencoders:OneBias", "their_package.autoencoders:Plain"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A small study of both beside Gated, run to its end, and its package."""
    folder = tmp_path_factory.mktemp("foreign")
    package = folder / "elsewhere" / "their_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "autoencoders.py").write_text(PACKAGE)
    raw = yaml.safe_load((ROOT / "workflow/configs/smoke.yaml").read_text())
    raw |= {"study": "foreign", "models": raw["models"][:1], "hookpoints": ["resid"]}
    del raw["dial"], raw["synthetic"]
    raw["training"]["tokens"] = 16384
    raw["grid"] = [
        {"variant": name, "expansion": 2, "lambdas": [0.1, 0.3]} for name in ("gated", GATE, PLAIN)
    ]
    raw["comparisons"] = [
        {
            "candidate": {"variant": name, "expansion": 2},
            "baseline": {"variant": "gated", "expansion": 2},
        }
        for name in (GATE, PLAIN)
    ]
    config = folder / "foreign.yaml"
    config.write_text(yaml.safe_dump(raw))
    workflow = Workflow(folder, config)
    done = workflow.run(PYTHONPATH=f"{ROOT}:{package.parent}")
    assert done.returncode == 0, done.stdout[-4000:]
    return workflow


def test_their_cells_are_in_the_tables(study):
    cells = pd.read_csv(study.folder / "results/foreign/tables/cells.csv")
    assert set(cells["variant"]) == {"gated", GATE, PLAIN}
    assert (cells["r2"] > 0).all()
    assert (cells["l0"] > 0).all()


def test_a_package_that_is_not_there_is_named(study):
    done = study.run("--dry-run")
    assert done.returncode != 0
    assert "their_package" in done.stdout
    assert "PYTHONPATH" in done.stdout
