"""A dump gives its GPU back before it reads the whole store again to seal it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.__main__ import main as run
from pipeline.jobs import gpu_lease
from pipeline.jobs.cache import Entry
from sagsae.files import LockedError
from tests.pipeline.whole_study import WholeStudy, make_whole_study, without_costs


class Became(Exception):
    """In place of a process that becomes another command."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> WholeStudy:
    return make_whole_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def leased(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """Under a lease; the commands that the process becomes."""
    became: list[list[str]] = []

    def become(program: str, command: list[str]) -> None:
        became.append(command)
        raise Became(program)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv(gpu_lease.HELD, "0")
    monkeypatch.setattr(gpu_lease.os, "execvp", become)
    return became


def test_a_leased_dump_becomes_the_stage_that_seals(
    made: WholeStudy, leased: list[list[str]]
) -> None:
    before, manifest = without_costs(made.root), Path(made.study.manifest("m", "heldout"))
    store = made.stores("heldout")
    (store / "SEALED.json").unlink()
    manifest.unlink()
    with pytest.raises(Became):
        made.make(str(manifest))
    (command,) = leased
    assert command[:4] == [sys.executable, "-m", "pipeline", "seal"]
    assert not (store / "SEALED.json").exists()
    assert not manifest.exists()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert not gpu_lease.is_leased()
    assert command[-2] == "--held"  # a descriptor that this process, as it lives on, has closed
    run(command[3:-2])
    assert without_costs(made.root) == before


FIRST = """
import sys
from pathlib import Path
from pipeline.jobs.cache import Entry
from pipeline.jobs.gpu_lease import become_without_gpu
with Entry(Path(sys.argv[1]), "stores", "k").used() as lock:
    held = lock.inheritable()
    become_without_gpu([sys.executable, "-c", sys.argv[2], str(held)], keep=(held,))
"""
SECOND = """
import os, sys
print("another", flush=True)
input()
os.close(int(sys.argv[1]))
print("closed", flush=True)
input()
"""


def test_nobody_prunes_a_store_while_its_dump_becomes_its_seal(tmp_path: Path) -> None:
    """From one program to the other, the lock against pruning is never free."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "0", gpu_lease.HELD: "0"}
    entry, pipe = Entry(tmp_path, "stores", "k"), subprocess.PIPE
    command = [sys.executable, "-c", FIRST, str(tmp_path), SECOND]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "another\n"
        with pytest.raises(LockedError), entry.used(patience=0.0, alone=True):
            pass
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "closed\n"
        with entry.used(patience=0.0, alone=True):
            assert process.poll() is None
        process.stdin.write("\n")
    assert process.returncode == 0


def test_a_lease_is_free_once_the_process_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same process, no lock; a child that it forked before aside, which holds GPU memory too."""
    monkeypatch.setenv("SAGSAE_LEASE_DIR", str(tmp_path))
    second = "import os; print(os.getpid(), os.environ['CUDA_VISIBLE_DEVICES'] == '', flush=True)"
    rest = [sys.executable, "-c", f"{second}; input()"]
    first = (
        "from pipeline.jobs import gpu_lease; input('held'); "
        f"gpu_lease.become_without_gpu({rest!r})"
    )
    options = ["--device", "cuda", "--", sys.executable, "-u", "-c", first]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "0"}
    command = [sys.executable, "-m", "pipeline", "gpu-lease", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.read(4) == "held"
        with (tmp_path / "0.slot0.lock").open() as slot:
            with pytest.raises(BlockingIOError):
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{process.pid} True\n"
            fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert process.poll() is None
        process.stdin.write("\n")
    assert process.returncode == 0
