"""What is said of errors that cannot be brought about at will: quotas, GPUs, wrapped errors."""

from __future__ import annotations

import ast
import errno
import os
from pathlib import Path

import pytest

from pipeline.assets.model_folders import hub_errors
from pipeline.assets.wheels import AssetError
from pipeline.jobs.remedies import SETTINGS, explain
from sagsae.memory import needs_memory


def of_number(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (of_number(errno.ENOSPC, "made/x"), "the disk is full: [Errno 28] No space left"),
        (of_number(errno.EDQUOT, "made/x"), "the disk quota is used up: [Errno 122] Disk quota"),
        (of_number(errno.EROFS, "made/x"), "the file system is read-only: [Errno 30] Read-only"),
        (of_number(errno.EACCES, "made/x"), "permission denied: [Errno 13] Permission denied"),
        (RuntimeError("CUDA error: out of memory"), "no GPU memory for this stage, CUDA error"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "no GPU memory for"),
        (MemoryError(), "no memory for this stage, of unknown size: give the job more memory"),
        (RuntimeError("can't start new thread"), "no thread can be started, memory or the number"),
    ],
)
def test_resources_are_named(error: Exception, said: str):
    found = explain(error)
    assert found.startswith(said)
    assert "\n" not in found
    if not isinstance(error, PermissionError):
        assert "run the same command again" in found


def test_a_full_disk_is_told_from_a_dead_network(tmp_path):
    with pytest.raises(AssetError, match="check the network") as raised, hub_errors("m", "models"):
        raise of_number(errno.ENOSPC, str(tmp_path / "model.safetensors"))
    said = explain(raised.value)
    assert said.startswith(f"the disk is full: [Errno 28] No space left on device: '{tmp_path}")
    assert f"are free in {tmp_path}: free some space" in said
    assert "network" not in said


ROOT = Path(__file__).resolve().parents[3]


def purposes() -> set[str]:
    """What every place in the code says that it needs memory for."""
    found = set()
    for path in (*ROOT.glob("sagsae/**/*.py"), *ROOT.glob("pipeline/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "needs_memory":
                found.add(ast.literal_eval(node.args[0]))
    return found


def test_every_place_that_needs_memory_has_its_settings():
    assert purposes() == set(SETTINGS)


def test_the_innermost_place_says_what_the_memory_was_for():
    @needs_memory("a training step")
    def step() -> None:
        raise MemoryError

    def wrapped() -> None:
        try:
            with needs_memory("the autoencoder"):
                step()
        except MemoryError as error:
            raise ValueError("the stage failed") from error

    with pytest.raises(ValueError, match="the stage failed") as raised, needs_memory("x"):
        wrapped()
    said = explain(raised.value)
    assert said.startswith("no memory for a training step, of unknown size: lower training.batch")
