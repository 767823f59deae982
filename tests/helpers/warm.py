"""Stages and Snakemake that start at once: forked from one process that has imported them all.

    python -m tests.helpers.warm SOCKET

Importing PyTorch and Transformers takes a job three seconds, and the studies of ``tests/e2e`` have
hundreds of jobs of less than one. ``python`` gives an interpreter that asks this server for them,
and with ``environment`` the shells of Snakemake find it. All else is as for a user: command line,
shell, environment, working folder, output and exit status. What fault tests kill, and the study
that they compare with, start by themselves.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from pipeline.__main__ import MODULES
from pipeline.__main__ import main as stage
from pipeline.jobs.stage import prepare_process, run_stage

ROOT = Path(__file__).resolve().parents[2]
IMPORTED_LATE = (
    "datasets",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "pipeline.cells.evaluate",
    "pipeline.cells.train",
    "snakemake.cli",
    "transformers.models.gpt_neox.modeling_gpt_neox",
    "transformers.models.smollm3.modeling_smollm3",
    "transformers.tokenization_utils_tokenizers",
)
"""What stages import only when they need it, and slow."""
FOLDER = "SAGSAE_TEST_WARM"
"""Variable: the folder of the socket and of ``python``."""
LONGEST = 1 << 20
"""Bytes of a request."""
PYTHON = f"""#!{sys.executable} -IS
import json, os, socket, sys

folder = os.environ["{FOLDER}"]
real = {sys.executable!r}
known = sys.argv[1:2] == ["-m"] and sys.argv[2:3] in (["pipeline"], ["snakemake"])
if not known or sys.argv[3:4] == ["gpu-lease"]:
    os.execv(real, [real, *sys.argv[1:]])
request = {{"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}}
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(f"{{folder}}/socket")
    socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
    answer = server.recv(16)
status = int(answer) if answer else 1
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def import_stages() -> None:
    """Import all that any stage imports."""
    for module in (*IMPORTED_LATE, *(f"pipeline.{module}" for module in MODULES.values())):
        importlib.import_module(module)


def end_as_process(work: Callable[[], None]) -> None:
    """Do something and end the process with the status that the interpreter would give it."""
    status = 1
    try:
        work()
        status = 0
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def become(request: bytes, files: list[int]) -> None:
    """In a child: run what was asked for, and end."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    asked = json.loads(request)
    os.environ.clear()
    os.environ.update(asked["environment"])
    if threads := os.environ.get("OMP_NUM_THREADS"):  # a process that starts now has so many
        torch.set_num_threads(int(threads))
    os.chdir(asked["folder"])
    first = asked["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, first), *(path for path in sys.path if path not in first)]
    module, *sys.argv[1:] = asked["arguments"]
    sys.argv[0] = module
    if module == "pipeline":
        end_as_process(lambda: run_stage(lambda: stage(sys.argv[1:])))
    end_as_process(lambda: runpy.run_module(module, run_name="__main__", alter_sys=True))


def serve(path: str) -> None:
    """Answer until the parent closes this process's input."""
    told, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door,
        selectors.DefaultSelector() as events,
    ):
        door.bind(path)
        door.listen()
        for source in (door, told, sys.stdin):
            events.register(source, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            ready = {key.fileobj for key, _ in events.select()}
            if sys.stdin in ready:
                os._exit(0)  # nothing is to be tidied up, and that would take seconds
            if told in ready:
                told.recv(4096)
                answer_ended(running)
            if door in ready:
                client, _ = door.accept()
                running[start(client)] = client


def start(client: socket.socket) -> int:
    """Fork what a client asks for."""
    request, files, _, _ = socket.recv_fds(client, LONGEST, 3)
    if child := os.fork():
        for file in files:
            os.close(file)
        return child
    become(request, files)
    raise AssertionError


def answer_ended(running: dict[int, socket.socket]) -> None:
    """Tell the clients of all children that have ended how they did."""
    for child in list(running):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with running.pop(child) as client:
                client.send(str(os.waitstatus_to_exitcode(status)).encode())


def environment() -> dict[str, str]:
    """Variables with which ``python`` works, and the jobs of a Snakemake use it."""
    folder = python().parent
    return {"BASH_ENV": str(folder / "bash-env"), FOLDER: str(folder)}


@cache
def python() -> Path:
    """The interpreter that asks a server of this process, which starts at the first call."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    atexit.register(shutil.rmtree, folder)
    client = folder / "python"
    client.write_text(PYTHON)
    client.chmod(0o755)
    (folder / "bash-env").write_text(f'PATH="{folder}:$PATH"\n')
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.warm", folder / "socket"],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    atexit.register(server.stdin.close)
    assert server.stdout.readline() == "ready\n"
    return client


if __name__ == "__main__":
    prepare_process()
    import_stages()
    serve(sys.argv[1])
