"""What is said of errors that cannot be brought about at will: quotas, GPUs, wrapped errors."""

from __future__ import annotations

import errno
import os

import pytest

from pipeline.data.model_folders import hub_errors
from pipeline.data.wheels import AssetError
from pipeline.jobs.remedies import explain


def of_number(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (of_number(errno.ENOSPC, "made/x"), "the disk is full: [Errno 28] No space left"),
        (of_number(errno.EDQUOT, "made/x"), "the disk quota is used up: [Errno 122] Disk quota"),
        (of_number(errno.EROFS, "made/x"), "the file system is read-only: [Errno 30] Read-only"),
        (of_number(errno.EACCES, "made/x"), "permission denied: [Errno 13] Permission denied"),
        (RuntimeError("CUDA error: out of memory"), "no GPU memory: CUDA error"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "no GPU memory: "),
        (MemoryError(), "no memory: MemoryError: give the job more"),
        (RuntimeError("can't start new thread"), "no memory: can't start new thread"),
    ],
)
def test_resources_are_named(error: Exception, said: str):
    found = explain(error)
    assert found.startswith(said)
    assert "\n" not in found
    assert "run the same command again" in found


def test_other_errors_are_left_to_their_own_words():
    assert explain(ValueError("lambdas: empty")) == ""


def test_a_full_disk_is_told_from_a_dead_network(tmp_path):
    with pytest.raises(AssetError, match="check the network") as raised, hub_errors("m", "models"):
        raise of_number(errno.ENOSPC, str(tmp_path / "model.safetensors"))
    said = explain(raised.value)
    assert said.startswith(f"the disk is full: [Errno 28] No space left on device: '{tmp_path}")
    assert "network" not in said


def test_what_is_written_stands_for_a_file_that_the_error_does_not_name():
    error = RuntimeError("No space left on device (os error 28)")
    assert "28) at results/x.json: free some" in explain(error, ["--out", "results/x.json"])
