"""A package that a user might have, with autoencoders of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAME = "their_zoo.sparse"
PACKAGE = '''
import torch
from torch import nn

from sagsae.autoencoders.base import Autoencoder


class TopK(Autoencoder):
    """The k largest |u|, k = 4 whatever lambda is; an L1 penalty as well, so that lambda acts."""

    def __init__(self, d, width, scale=1.0):
        super().__init__(d, width, scale)
        self.W_enc = nn.Parameter(torch.zeros(d, width))
        self.W_dec = nn.Parameter(torch.zeros(width, d))
        self.b_dec = nn.Parameter(torch.zeros(d))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def initialise(self, mean, seed, recipe=None):
        rows = torch.randn(self.width, self.d, generator=torch.Generator().manual_seed(seed))
        self.params["W_dec"].copy_(nn.functional.normalize(rows, dim=1))
        self.params["W_enc"].copy_(self.params["W_dec"].T)
        self.params["b_dec"].copy_(mean)

    def code(self, x):
        u = (x - self.b_dec) @ self.W_enc
        least = u.abs().topk(4, dim=1).values[:, -1:]
        return torch.where(u.abs() >= least, u, 0)

    def reconstruct(self, z):
        return z @ self.W_dec + self.b_dec

    def loss(self, x, lam):
        z = self.code(x)
        error = (x - self.reconstruct(z)).square().sum(1).mean()
        return {"reconstruction": error, "sparsity": lam * z.abs().sum(1).mean()}

    def constrain(self):
        self.W_dec.copy_(nn.functional.normalize(self.W_dec, dim=1))
        self.steps += 1


class NoError(TopK):
    def loss(self, x, lam):
        return {"error": super().loss(x, lam)["reconstruction"]}


class Frozen(TopK):
    def __init__(self, d, width, scale=1.0):
        super().__init__(d, width, scale)
        self.requires_grad_(False)
'''


def write(folder: Path) -> None:
    """Write the package into a folder that is to be on Python's path."""
    package = folder / "their_zoo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "sparse.py").write_text(PACKAGE)


@contextmanager
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Write the package, and let this process find it."""
    write(folder)
    monkeypatch.syspath_prepend(str(folder))
    yield NAME
    for name in [name for name in sys.modules if name.partition(".")[0] == "their_zoo"]:
        del sys.modules[name]
