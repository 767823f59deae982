"""What every stage does around its work: one clear line for an expected failure, the device."""

from __future__ import annotations

import atexit
import gc
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.jobs.progress import say
from sagsae.files import FileLock, this_process, whole_file

if TYPE_CHECKING:
    import torch


RUN = "SAGSAE_RUN"
# Where to compute; auto: a GPU where there is one.
Device = Literal["auto", "cpu", "cuda"]
# Rounds that an idle OpenMP thread waits: from one PyTorch operation to the next, no more.
SPIN_COUNT = 10_000


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; a failure becomes one message and exit status 1.

    A fault of the program, such as TypeError, shows where it arose. With SAGSAE_TRACEBACK=1 every
    error does.
    """
    try:
        main()
    except (AssertionError, AttributeError, NameError, TypeError):
        raise
    except Exception as error:
        if os.environ.get("SAGSAE_TRACEBACK"):
            raise
        sys.exit(f"error: {type(error).__name__}: {error}")
    if "triton" not in sys.modules:  # it calls what is left of it at the end leaked, in 60 lines
        gc.freeze()  # skip the final garbage collection: it takes over a second


def copy_output(log: Path) -> None:
    """Write all that this process and its children print into a file, too.

    A process of its own does that: it has the last words of one that is killed, and a full disk
    ends the copy alone.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    tee = subprocess.Popen(["tee", "--ignore-interrupts", log], stdin=subprocess.PIPE)
    assert tee.stdin is not None
    for stream in (sys.stdout, sys.stderr):
        os.dup2(tee.stdin.fileno(), stream.fileno())
    tee.stdin.close()
    atexit.register(_end_copy, tee)


def _end_copy(tee: subprocess.Popen[bytes]) -> None:
    """Wait until the file is whole: Snakemake shows it when the process has failed."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.close(stream.fileno())
    with suppress(subprocess.TimeoutExpired):  # a child that still prints holds it open
        tee.wait(timeout=5)


def prepare_process() -> None:
    """Settings of a process that runs one stage; they must come before PyTorch is imported.

    Idle threads of OpenMP spin for milliseconds after each product and so keep the cores from the
    compiled loops between two products. ``GOMP_SPINCOUNT`` or ``OMP_WAIT_POLICY`` in the
    environment take precedence.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))
    relax_gc()


@contextmanager
def locked(folder: Path, stem: str = "", patience: float = math.inf) -> Iterator[bool]:
    """Hold ``folder``, or what is made in it under the name ``stem``, against other processes.

    An orphan of a killed run may still write there. Then this waits, and says for whom, until
    ``patience`` seconds are over. It removes what a killed process left half written.

    Yields:
        Whether somebody else held it, so that the work may be done already.

    Raises:
        LockedError: Patience is over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / (f".{stem}.lock" if stem else ".lock"))
    waited = lock.acquire(patience=patience, waiting=say)
    try:
        remove_partials(folder, stem)
        yield waited
    finally:
        lock.release()


def remove_partials(folder: Path, stem: str = "") -> None:
    """Remove what killed processes left half written in a folder that the caller holds.

    Args:
        folder: It need not exist.
        stem: Of the names of what is made in it; empty: of all.
    """
    for leftover in folder.glob(f".{stem}.*.partial" if stem else ".*.partial"):
        if leftover.is_file():
            leftover.unlink()


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` a hard link to ``source``, or a copy where links are not to be had."""
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        with whole_file(target) as partial:
            shutil.copyfile(source, partial)


def put_checkout_first(checkout: Path) -> None:
    """Let ``python -m pipeline`` mean the running interpreter and ``checkout`` in every job.

    So the text of a command is the same on every machine. Its change would train everything again.
    """
    for name, folder in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", checkout)):
        others = [part for part in os.environ.get(name, "").split(os.pathsep) if part]
        os.environ[name] = os.pathsep.join([str(folder), *others])
    os.environ["PYTHONSAFEPATH"] = "1"  # a folder named pipeline where a job runs means nothing


def name_run(lock: FileLock) -> None:
    """Tell the jobs started from here which run they belong to, see ``run_is_gone``.

    Args:
        lock: What the run holds to its end; its file is seen by every host that runs jobs.
    """
    os.environ[RUN] = f"{this_process()}: {lock.path.absolute()}"


def run_is_gone() -> bool:
    """Whether the run that started this job is gone, so that nobody notes the job's outputs.

    The lock of the run tells, also where it ran on another host. A job that no run started, or
    whose run's lock has been deleted, has none that is gone.
    """
    run, _, path = os.environ.get(RUN, "").partition(": ")
    return Path(path).is_file() and FileLock(Path(path)).holder() != run


def relax_gc() -> None:
    """Let the garbage collector run less often: what a process makes at its start all stays.

    Large packages then import a quarter faster, and Snakemake plans a quarter faster.
    """
    gc.freeze()
    gc.set_threshold(100_000)


def device_of(choice: Device) -> torch.device:
    """The device a stage computes on: CUDA device 0 of those visible, or the CPU.

    The GPU lease narrows CUDA_VISIBLE_DEVICES to one device before the stage starts.

    Raises:
        ValueError: CUDA was demanded and there is none.
    """
    import torch

    available = torch.cuda.is_available() and torch.cuda.device_count() > 0
    if choice == "cuda" and not available:
        raise ValueError("device cuda was asked for and PyTorch sees no GPU: use auto or cpu")
    if choice == "auto" and not available and (leased := os.environ.get("CUDA_VISIBLE_DEVICES")):
        say(
            f"GPU {leased} is visible and PyTorch {torch.__version__} cannot use it: computing on "
            "the CPU; install a PyTorch for this GPU's driver, or set `device: cuda` to stop here"
        )
    if not available or choice == "cpu":
        return torch.device("cpu")
    return torch.device("cuda")
