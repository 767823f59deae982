"""The device of a stage, and what comes with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.jobs import stage
from pipeline.jobs.stage import device_of, name_run, run_is_gone, run_stage
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


def test_a_failure_is_one_line_and_its_place_is_shown_on_demand(monkeypatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "made/x")

    with pytest.raises(SystemExit, match=r"^error: OSError: .*No space left on device: 'made/x'$"):
        run_stage(full)
    with pytest.raises(TypeError):
        run_stage(lambda: len(3))
    monkeypatch.setenv("SAGSAE_TRACEBACK", "1")
    with pytest.raises(OSError, match="No space left"):
        run_stage(full)


def see_gpus(patch: pytest.MonkeyPatch, count: int) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: count > 0)
    patch.setattr(torch.cuda, "device_count", lambda: count)


def test_a_leased_gpu_that_pytorch_cannot_use_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    see_gpus(monkeypatch, 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1234")
    assert device_of("auto") == torch.device("cpu")
    assert "GPU GPU-1234 is visible and PyTorch" in capsys.readouterr().err
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device_of("auto") == torch.device("cpu")
    assert capsys.readouterr().err == ""


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
