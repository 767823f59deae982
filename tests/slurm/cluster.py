"""A real SLURM of one node for tests: everything in one folder, no accounting, GPUs that are none.

Needs the daemons of Debian's slurm-wlm and munge, and no rights beyond a user's. The node has two
GPUs in name: SLURM takes any device node for one, and gives each to one job at a time.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
NODE, CORES, MEMORY, GPUS = "localhost", 8, 64_000, 2
"""What the node claims to have. The memory is counted, never limited."""
SLURM_CONF = """\
ClusterName=test
SlurmctldHost={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_min_interval=0
ReturnToService=2
MinJobAge=3600
KillWait=5
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
GresTypes=gpu
NodeName={node} CPUs={cores} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
GRES_CONF = f"NodeName={NODE} Name=gpu File=/dev/zero\nNodeName={NODE} Name=gpu File=/dev/full\n"
SRUN = '#!/bin/sh\nSLURM_CONF={conf} exec {srun} "$@"\n'
"""The executor's job step takes SLURM_CONF from the environment; srun needs it."""
PATIENCE = 30.0


def missing() -> str:
    """The first program that is not there; empty where all are."""
    return next((name for name in PROGRAMS if not shutil.which(name, path=PATH)), "")


@dataclass(frozen=True)
class Job:
    """What ``scontrol show job`` says of one."""

    fields: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields[name]

    @property
    def number(self) -> int:
        return int(self["JobId"])

    @property
    def what(self) -> str:
        """Rule and wildcards, which Snakemake gives as the comment."""
        return self.fields.get("Comment", "").removeprefix("rule_")

    @property
    def state(self) -> str:
        return self["JobState"]

    @property
    def minutes(self) -> int:
        """Time that was asked for."""
        days, _, clock = self["TimeLimit"].rpartition("-")
        hours, minutes, _ = map(int, clock.split(":"))
        return (int(days or 0) * 24 + hours) * 60 + minutes

    @property
    def asked(self) -> dict[str, str]:
        """Cores and memory, such as {"cpu": "1", "mem": "1200M"}."""
        return dict(part.split("=") for part in self["ReqTRES"].split(","))

    @property
    def mem_mb(self) -> int:
        size, unit = re.fullmatch(r"(\d+)([MG])", self.asked["mem"]).groups()
        return int(size) * (1024 if unit == "G" else 1)

    @property
    def gpus(self) -> int:
        return int(self.fields.get("TresPerJob", "gres/gpu:0").removeprefix("gres/gpu:"))


@dataclass(frozen=True)
class Cluster:
    """A SLURM that runs."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """For programs that talk to it, and for the jobs that they submit."""
        path = f"{self.folder}/bin:{PATH}"
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def run(self, *command: str) -> str:
        """Output of a command of SLURM."""
        done = subprocess.run(
            command,
            env=os.environ | self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
        return done.stdout

    def jobs(self) -> list[Job]:
        """All that were submitted, in their order."""
        lines = self.run("scontrol", "show", "job", "--oneliner", "--all").splitlines()
        found = [dict(re.findall(r"(?:^| )(\w+(?:[:/]\w+)*)=(\S*)", line)) for line in lines]
        return sorted((Job(one) for one in found if "JobId" in one), key=lambda job: job.number)

    def state_of(self, number: int) -> str:
        return next(job.state for job in self.jobs() if job.number == number)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start one in a new folder, and stop it with all its jobs at the end."""
    folder.mkdir(parents=True)
    made = Cluster(folder)
    configure(folder)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        daemons.append(_start(made, *_munged(folder)))
        _wait(lambda: (folder / "munge.sock").exists(), "munged", folder)
        daemons.append(_start(made, "slurmctld", "-D", "-c"))
        daemons.append(_start(made, "slurmd", "-D", "-N", NODE))
        _wait(lambda: "idle" in _said(made, "sinfo", "-h", "-o", "%T"), "the node", folder)
        yield made
    finally:
        _said(made, "scancel", f"--user={getpass.getuser()}")
        deadline = time.monotonic() + PATIENCE  # a step whose daemon is gone would stay
        while _said(made, "squeue", "--noheader").strip() and time.monotonic() < deadline:
            time.sleep(0.5)
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def configure(folder: Path) -> None:
    """Write the files of a cluster: its configuration, its key, and ``bin``."""
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    conf = folder / "slurm.conf"
    conf.write_text(
        SLURM_CONF.format(
            folder=folder,
            user=getpass.getuser(),
            ports=_free_ports(2),
            node=NODE,
            cores=CORES,
            memory=MEMORY,
            gpus=GPUS,
        )
    )
    (folder / "gres.conf").write_text(GRES_CONF)
    (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    srun = folder / "bin" / "srun"
    srun.write_text(SRUN.format(conf=conf, srun=shutil.which("srun", path=PATH)))
    srun.chmod(0o755)
    key = folder / "munge.key"
    subprocess.run([shutil.which("mungekey", path=PATH) or "", "-c", "-k", key], check=True)


def _munged(folder: Path) -> list[str]:
    files = {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log"}
    named = [f"--{name}={folder}/munge.{end}" for name, end in files.items()]
    # Forced: its socket need not be there for other users.
    return ["munged", "--foreground", "--force", *named, f"--seed-file={folder}/munge.seed"]


def _start(made: Cluster, *command: str) -> subprocess.Popen[bytes]:
    program = shutil.which(command[0], path=PATH)
    assert program, f"{command[0]} is not there"
    with (made.folder / f"{command[0]}.out").open("w") as out:
        environment = os.environ | made.environment
        return subprocess.Popen(
            [program, *command[1:]],
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _said(made: Cluster, *command: str) -> str:
    """Output of a command that may fail."""
    return subprocess.run(
        command,
        env=os.environ | made.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ).stdout


def _wait(condition: Callable[[], bool], what: str, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text() for path in folder.glob("*.out"))
            raise RuntimeError(f"{what} does not come up:\n{logs}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def main() -> None:
    """Run a command in a cluster of its own: ``python -m tests.slurm.cluster FOLDER COMMAND``."""
    if name := missing():
        sys.exit(f"{name} is not there: apt-get install --no-install-recommends slurm-wlm munge")
    folder, *command = sys.argv[1:]
    with cluster(Path(folder)) as made:
        sys.exit(subprocess.run(command, env=os.environ | made.environment).returncode)


if __name__ == "__main__":
    main()
