"""Fixtures: models of every architecture, and contexts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.sagsae.evaluation.samples import ARCHITECTURES, LENGTH, VOCABULARY, tiny_model


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> Any:
    """Each architecture in turn, float32."""
    return tiny_model(request.param)


@pytest.fixture
def neox() -> Any:
    """One architecture in bfloat16, for what does not depend on the architecture."""
    return tiny_model("gpt_neox", torch.bfloat16)


@pytest.fixture
def input_ids() -> Tensor:
    """[6, 16] token ids."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(1, VOCABULARY, (6, LENGTH), generator=generator)


@pytest.fixture
def kept(input_ids: Tensor) -> Tensor:
    """[6, 16] bool: neither the first positions nor a few others."""
    mask = torch.rand(input_ids.shape, generator=torch.Generator().manual_seed(2)) > 0.2
    mask[:, 0] = False
    return mask
