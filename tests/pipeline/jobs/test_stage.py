"""The device of a stage, and what comes with it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from pipeline.jobs import stage
from pipeline.jobs.stage import (
    device_of,
    name_run,
    run_is_gone,
)
from sagsae.files import FileLock

ROOT = Path(__file__).resolve().parents[3]
HEAD = """
import os, sys, time
from pathlib import Path
from pipeline.jobs.stage import RUN, name_run
from sagsae.files import FileLock
os.uname = lambda: os.uname_result(("Linux", "head", "", "", ""))
lock = FileLock(Path(sys.argv[1]))
lock.acquire()
name_run(lock)
print(os.environ[RUN], flush=True)
time.sleep(600)
"""
"""A run whose head process is on a host named head."""
STAGE = """
from pipeline.jobs.stage import prepare_process, run_stage
prepare_process()
def main():
    import triton
    print("made", triton.__name__)
run_stage(main)
"""
LIKE_TRITON = """
class Bound:
    def __del__(self):
        print("freed")
itself = Bound()
itself.own = itself  # as functions and types of an extension hold one another
"""


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


def test_a_leased_gpu_that_pytorch_cannot_use_is_said(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    see_gpus(settings, 0)
    settings.setenv("CUDA_VISIBLE_DEVICES", "GPU-1234")
    assert device_of("auto") == torch.device("cpu")
    assert "GPU GPU-1234 is visible and PyTorch" in capsys.readouterr().err
    settings.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device_of("auto") == torch.device("cpu")
    assert capsys.readouterr().err == ""


def test_a_gpu_that_is_not_there(settings: pytest.MonkeyPatch) -> None:
    see_gpus(settings, 0)
    with pytest.raises(ValueError, match="PyTorch sees no GPU: use auto or cpu"):
        device_of("cuda")


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run on another host; this process is one of its jobs."""
    command = [sys.executable, "-c", HEAD, str(tmp_path / ".run.lock")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        monkeypatch.setenv(stage.RUN, process.stdout.readline().strip())
        yield process
        process.kill()


def test_a_run_that_died_on_another_host_is_gone(head: subprocess.Popen[str]) -> None:
    assert " on head" in os.environ[stage.RUN]
    assert not run_is_gone()
    head.kill()
    head.wait()
    assert run_is_gone()


def test_a_run_whose_place_another_run_took_is_gone(
    head: subprocess.Popen[str], tmp_path: Path
) -> None:
    head.kill()
    head.wait()
    lock = FileLock(tmp_path / ".run.lock")
    lock.acquire()
    try:
        assert run_is_gone()
        name_run(lock)
        assert not run_is_gone()
    finally:
        lock.release()
    assert run_is_gone()


def test_a_job_that_no_run_started_has_none_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(stage.RUN, raising=False)
    assert not run_is_gone()
    monkeypatch.setenv(stage.RUN, f"process 1 on head: {tmp_path / '.run.lock'}")
    assert not run_is_gone()


def run_stage_with_triton(*packages: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, (*packages, ROOT)))
    return subprocess.run(
        [sys.executable, "-c", STAGE],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.skipif(find_spec("triton") is None, reason="this PyTorch has no triton")
def test_a_stage_that_loaded_triton_ends_in_silence() -> None:
    """Its extension counts what is left of it at the end, and calls it leaked, in 60 lines."""
    done = run_stage_with_triton()
    assert (done.stdout, done.stderr) == ("made triton\n", "")


def test_what_triton_holds_is_freed_at_the_end(tmp_path: Path) -> None:
    """On any Python, and with a PyTorch that has no triton."""
    (tmp_path / "triton.py").write_text(LIKE_TRITON)
    assert run_stage_with_triton(tmp_path).stdout == "made triton\nfreed\n"
