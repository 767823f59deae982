"""Which GPU a job gets: lease one of the visible ones, then become the job's command.

    python -m pipeline gpu-lease --jobs-per-gpu 1 -- python -m pipeline cell ...

Each GPU has ``--jobs-per-gpu`` slots, each a lock file in one folder of this machine. The launcher
takes the first free one with flock, sets CUDA_VISIBLE_DEVICES to that GPU and replaces itself by
the command, which inherits the open lock. The kernel frees the slot when the last process that
holds the lock is gone, however it ended: SIGKILL too. Processes forked by the command (data
loaders) hold it as well, as they may hold GPU memory; one started with its other file descriptors
closed, as Python's subprocess does, does not.

Jobs of one user on one machine never share a slot, whichever studies or Snakemake runs they belong
to. Other users' jobs are not seen: give each user GPUs through CUDA_VISIBLE_DEVICES or a scheduler.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Literal

from pipeline.jobs.progress import say
from pipeline.jobs.stage import Device
from sagsae.files import try_flock

DIRECTORY_VARIABLE = "SAGSAE_LEASE_DIR"
VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER, BUS = "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
# There wherever the kernel has loaded NVIDIA's driver, in containers too.
DRIVER = Path("/proc/driver/nvidia/version")
POLL_SECONDS = 0.2


class LeaseError(RuntimeError):
    """No GPU can be leased; the message says why and what to do."""


def visible_devices() -> list[str]:
    """The GPUs this process may use, as values for CUDA_VISIBLE_DEVICES; no torch is imported.

    An outer CUDA_VISIBLE_DEVICES (SLURM, Kubernetes, a user) is honoured, empty meaning none.
    Indices become UUIDs where nvidia-smi is there to ask: two SLURM jobs may both see their own,
    different GPU as 0. An index counts in the order of the bus, which is nvidia-smi's, and jobs get
    CUDA_DEVICE_ORDER=PCI_BUS_ID. Where the environment has another CUDA_DEVICE_ORDER, nvidia-smi
    cannot tell which GPU an index means, and it stays an index.
    """
    installed = installed_devices()
    outer = os.environ.get(VISIBLE)
    if outer is None:
        return [uuid for _, uuid in installed]
    by_index = dict(installed) if os.environ.get(ORDER, BUS) == BUS else {}
    devices: list[str] = []
    for entry in (part.strip() for part in outer.split(",")):
        if not entry or entry in ("-1", "NoDevFiles"):
            break  # CUDA ignores everything after an invalid entry
        same = [uuid for _, uuid in installed if uuid.startswith(entry)]
        device = by_index.get(entry) or (same[0] if len(same) == 1 else entry)
        if device not in devices:
            devices.append(device)
    return devices


def installed_devices() -> list[tuple[str, str]]:
    """(index, UUID) of every GPU that nvidia-smi lists, or else the driver; MIG parts count singly.

    The index of a MIG part is its UUID again, as CUDA has no number for it.

    Raises:
        LeaseError: a driver is there, and nvidia-smi is not, fails, or takes too long: computing on
            the CPU without a word would cost days.
    """
    if os.environ.get(VISIBLE) == "":
        return []
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        if DRIVER.exists():
            raise LeaseError(
                f"{DRIVER} says that an NVIDIA driver is loaded, and nvidia-smi does not list its "
                f"GPUs ({error}): mend that (in a container, `--nv` or `--gpus all` brings it in), "
                "or ask for `--config device=cpu`"
            ) from None
        return []
    devices: list[tuple[str, str]] = []
    for line in listing.splitlines():
        if match := re.match(r"GPU (\d+): .*\(UUID: (GPU-[^)\s]+)\)", line):
            devices.append((match[1], match[2]))
        elif match := re.match(r"\s+MIG .*\(UUID: +(MIG-[^)\s]+)\)", line):
            if devices and devices[-1][1].startswith("GPU-"):
                devices.pop()  # a partitioned GPU can only be used through its parts
            devices.append((match[1], match[1]))
    return devices


def lease_folder() -> Path:
    """The folder of the lock files, private to this user.

    It is /tmp whatever TMPDIR says: jobs with different TMPDIRs must meet in one folder. The
    environment variable SAGSAE_LEASE_DIR names another; it must lie on a local file system.

    Raises:
        LeaseError: the folder belongs to somebody else, or is a link.
    """
    named = os.environ.get(DIRECTORY_VARIABLE)
    folder = Path(named) if named else Path("/tmp") / f"sagsae-gpu-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise LeaseError(
            f"{folder}: not a folder of user {os.getuid()}; set {DIRECTORY_VARIABLE} to a folder "
            "of yours on a local disk"
        )
    return folder


def take(devices: list[str], jobs_per_gpu: int) -> str:
    """Wait for a slot and hold it for the rest of this process, through exec.

    Idle GPUs come first: the second slot of one is tried only when no first slot is free.

    Returns:
        The leased device.
    """
    folder = lease_folder()
    slots = [
        (device, folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', device)}.slot{number}.lock")
        for number in range(jobs_per_gpu)
        for device in devices
    ]
    told = False
    while True:
        for device, path in slots:
            if _lock(path):
                return device
        if not told:
            say(f"gpu lease: all GPUs are taken; `fuser -v {folder}/*` shows by whom")
        told = True
        time.sleep(POLL_SECONDS)


def _lock(path: Path) -> bool:
    """Take one lock file if it is free; its descriptor stays open, inheritable."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    held = try_flock(descriptor, fcntl.LOCK_EX, path)
    if held:
        os.set_inheritable(descriptor, True)
    else:
        os.close(descriptor)
    return held


def choose(device: str, gpus: int, jobs_per_gpu: int) -> str:
    """The value of CUDA_VISIBLE_DEVICES for a job; empty means the CPU.

    Args:
        device: "auto", "cpu" or "cuda", as the study's configuration says.
        gpus: GPUs that Snakemake grants the job; 0 means the CPU whatever ``device`` says.
        jobs_per_gpu: slots of each GPU.

    Raises:
        LeaseError: a GPU is demanded and none is visible.
    """
    if gpus == 0 or device == "cpu":
        return ""
    if devices := visible_devices():
        return take(devices, jobs_per_gpu)
    outer = os.environ.get(VISIBLE)
    cause = "nvidia-smi lists none" if outer is None else f"{VISIBLE} is {outer!r}"
    why = f"no GPU is visible on {os.uname().nodename} ({cause})"
    if device == "cuda":
        raise LeaseError(
            f"device cuda was asked for and {why}; use `device: auto` or `cpu` in the "
            "configuration, or run with --resources gpu=0"
        )
    say(f"gpu lease: {why}: this job computes on the CPU, as `device: auto` allows")
    return ""


def main(
    command: list[str], /, device: Device = "auto", jobs_per_gpu: int = 1, gpus: Literal[0, 1] = 1
) -> None:
    """Lease, and become the command.

    Args:
        command: after --: what to run
        device: where to compute; auto: a GPU where there is one
        jobs_per_gpu: slots of each GPU
        gpus: 0: use the CPU
    """
    leased = choose(device, gpus, jobs_per_gpu)
    if leased:
        say(f"gpu lease: device {leased}")
    os.environ[VISIBLE] = leased
    os.environ.setdefault(ORDER, BUS)
    os.execvp(command[0], command)
