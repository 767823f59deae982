"""Fixtures for the activation tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from activation_samples import small_config, write_store
from transformers import PreTrainedModel

from tests.sagsae.evaluation.samples import VOCABULARY, tiny_model


@pytest.fixture(params=["gpt_neox", "smollm3"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """Both architectures in turn."""
    return tiny_model(request.param)


@pytest.fixture
def input_ids() -> torch.Tensor:
    """[3, 10] token ids."""
    return torch.randint(1, VOCABULARY, (3, 10), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """Writes a sealed store of a changed `small_config` and gives its folder."""

    def make(folder: str = "store", seal: bool = True, **changes: object) -> Path:
        return write_store(tmp_path / folder, small_config(**changes), seal)

    return make
