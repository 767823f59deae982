"""The device of a stage, and what comes with it."""

from __future__ import annotations

import os

import pytest
import torch

from pipeline.jobs.stage import device_of


def see_gpus(patch: pytest.MonkeyPatch, count: int) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: count > 0)
    patch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without the variable, which is put back afterwards."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    return monkeypatch


def test_a_gpu_is_asked_for_kernels_that_repeat(settings: pytest.MonkeyPatch) -> None:
    """A cell that is resumed on a GPU takes the deterministic kernels, like the run before it."""
    see_gpus(settings, 1)
    try:
        assert device_of("auto") == torch.device("cuda")
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("choice", "gpus"), [("cpu", 1), ("auto", 0)])
def test_a_cpu_is_left_as_it_is(settings: pytest.MonkeyPatch, choice: str, gpus: int) -> None:
    see_gpus(settings, gpus)
    assert device_of(choice) == torch.device("cpu")
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_a_gpu_that_is_not_there(settings: pytest.MonkeyPatch) -> None:
    see_gpus(settings, 0)
    with pytest.raises(ValueError, match="PyTorch sees no GPU: use auto or cpu"):
        device_of("cuda")
