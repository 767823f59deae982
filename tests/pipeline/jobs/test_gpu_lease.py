"""The lease with real processes and made-up devices."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.jobs import gpu_lease
from pipeline.jobs.gpu_lease import LeaseError, visible_devices

ROOT = Path(__file__).resolve().parents[3]

RECORD = """
import os, sys, time
log, hold = sys.argv[1], float(sys.argv[2])
device = os.environ["CUDA_VISIBLE_DEVICES"]
def note(what):
    with open(log, "a") as file:
        file.write(f"{time.monotonic_ns()} {what} {device} {os.getpid()}\\n")
note("enter")
time.sleep(hold)
note("exit")
"""

UUIDS = [f"GPU-{c * 8}-1111-2222-3333-444455556666" for c in "abc"]
LISTING = "".join(f"GPU {i}: NVIDIA X (UUID: {uuid})\n" for i, uuid in enumerate(UUIDS))


@pytest.fixture(autouse=True)
def no_hardware(tmp_path, monkeypatch):
    """Locks of our own, no GPUs of this machine's: nvidia-smi is what a test makes of it."""
    commands = tmp_path / "bin"
    commands.mkdir()
    set_listing(commands, None)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("SAGSAE_LEASE_DIR", str(tmp_path / "leases"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return commands


def set_listing(commands, text):
    """Make ``nvidia-smi -L`` print a text; None: make it fail, as without a driver."""
    script = "#!/bin/sh\nexit 9\n"
    if text is not None:
        (commands / "listing").write_text(text)
        script = f'#!/bin/sh\n[ "$1" = -L ] && cat "{commands / "listing"}"\n'
    (commands / "nvidia-smi").write_text(script)
    (commands / "nvidia-smi").chmod(0o755)


def lease(*command, options=(), **popen):
    """Start a command under the lease."""
    line = [sys.executable, "-m", "pipeline", "gpu-lease", *options, "--", *map(str, command)]
    return subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen
    )


def record(log, hold, options=()):
    return lease(sys.executable, "-c", RECORD, log, hold, options=options)


def finish(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def wait_for(log, lines, timeout=30.0):
    """The events in a log, once there are so many."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        events = log.read_text().splitlines() if log.exists() else []
        if len(events) >= lines:
            return [event.split() for event in events]
        time.sleep(0.02)
    raise AssertionError(f"{log} did not reach {lines} lines: {events}")


def most_at_once(events):
    """Device -> the largest number of jobs that were on it at one time."""
    running, most = {}, {}
    for _, what, device, _ in sorted(events, key=lambda event: int(event[0])):
        running[device] = running.get(device, 0) + (1 if what == "enter" else -1)
        most[device] = max(most.get(device, 0), running[device])
    return most


# Exclusion -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("slots", "jobs"), [(1, 12), (2, 8)])
def test_never_more_jobs_on_a_device_than_slots(tmp_path, monkeypatch, slots, jobs):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    log = tmp_path / "log"
    options = ["--device", "cuda", "--jobs-per-gpu", str(slots)]
    started = [record(log, 0.4, options) for _ in range(jobs)]
    for process in started:
        finish(process)
    events = wait_for(log, 2 * jobs)
    assert len({pid for *_, pid in events}) == jobs
    assert most_at_once(events) == {"0": slots, "1": slots}


def test_sigkill_frees_the_slot(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    log = tmp_path / "log"
    first = record(log, 60)
    assert wait_for(log, 1)[0][3] == str(first.pid), "the command must replace the launcher"
    second = record(log, 0)
    time.sleep(1.0)
    assert len(wait_for(log, 1)) == 1, "the second job entered a taken device"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    finish(second)
    assert [event[1] for event in wait_for(log, 3)] == ["enter", "enter", "exit"]


# Which device --------------------------------------------------------------------------------


def test_a_driver_whose_gpus_are_not_listed_is_an_error(tmp_path, monkeypatch):
    """As in a container without `--nv`, or where nvidia-smi takes too long."""
    assert gpu_lease.choose("auto", 1, 1) == ""
    monkeypatch.setattr(gpu_lease, "DRIVER", tmp_path / "version")
    gpu_lease.DRIVER.write_text("NVRM version")
    with pytest.raises(LeaseError, match=r"does not list its GPUs .*`--nv`.*device=cpu"):
        gpu_lease.choose("auto", 1, 1)
    assert gpu_lease.choose("cpu", 1, 1) == ""


def test_cuda_without_gpus_is_an_error(monkeypatch):
    process = lease("true", options=["--device", "cuda"])
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"no GPU is visible on {os.uname().nodename} (nvidia-smi lists none)" in err
    assert "--resources gpu=0" in err
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(LeaseError, match="CUDA_VISIBLE_DEVICES is ''"):
        gpu_lease.choose("cuda", 1, 1)


@pytest.mark.parametrize(
    ("outer", "devices"),
    [
        (None, UUIDS),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", [UUIDS[1]]),
        ("2,0", [UUIDS[2], UUIDS[0]]),
        ("0,-1,2", [UUIDS[0]]),
        ("1,1", [UUIDS[1]]),
        ("GPU-cc", [UUIDS[2]]),
        (f"{UUIDS[1]},0", [UUIDS[1], UUIDS[0]]),
        ("7,MIG-55", ["7", "MIG-55"]),
    ],
)
def test_outer_setting_is_honoured(outer, devices, no_hardware, monkeypatch):
    set_listing(no_hardware, LISTING)
    if outer is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", outer)
    assert visible_devices() == devices


def test_an_index_counts_in_the_order_of_the_bus(no_hardware, monkeypatch):
    """CUDA's own order puts the fastest GPU first; nvidia-smi lists in the order of the bus."""
    set_listing(no_hardware, LISTING)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    show = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['CUDA_DEVICE_ORDER'])"
    command = (sys.executable, "-c", show)
    assert finish(lease(*command)).split() == [UUIDS[1], "PCI_BUS_ID"]
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert finish(lease(*command)).split() == ["1", "FASTEST_FIRST"]
    assert visible_devices() == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-cc")
    assert visible_devices() == [UUIDS[2]]


# The folder ----------------------------------------------------------------------------------


def test_foreign_folders_are_refused(tmp_path, monkeypatch):
    (tmp_path / "leases").symlink_to(tmp_path)
    with pytest.raises(LeaseError, match="not a folder of user"):
        gpu_lease.lease_folder()
    monkeypatch.setenv("SAGSAE_LEASE_DIR", str(tmp_path / "bin" / "nvidia-smi" / "x"))
    with pytest.raises(OSError, match="nvidia-smi/x"):
        gpu_lease.lease_folder()
