"""Studies on a real SLURM of one node, and the same studies without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pytest

from tests.helpers.workflow import ROOT
from tests.slurm.cluster import Cluster, cluster, missing

PROFILE = ROOT / "profiles" / "slurm"
FAST = [
    *("--jobs", "8", "--max-threads", "2", "--latency-wait", "5"),
    *("--slurm-init-seconds-before-status-checks", "8", "--slurm-keep-successful-logs"),
    *("--default-resources", "rates=cpu-core", "slurm_partition=test"),
]
"""What a test changes of the profile: small numbers, and the partition of the test cluster."""
PATIENCE = 900.0
"""Seconds until a test gives up what it waits for; the machine may be busy."""


@dataclass(frozen=True)
class OnSlurm:
    """The project's workflow in a folder of its own, its jobs on a cluster."""

    folder: Path
    config: Path
    cluster: Cluster

    def command(self) -> list[str]:
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        where = ["--configfile", str(self.config), "--directory", str(self.folder)]
        return [*snakemake, *where, "--workflow-profile", str(PROFILE), *FAST]

    def start(self, output: int | IO[str]) -> subprocess.Popen[str]:
        """Start Snakemake as on a login node."""
        environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            self.command(),
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | self.cluster.environment | environment,
            cwd=self.folder,
            start_new_session=True,
        )

    def run(self) -> str:
        """Run Snakemake to its end; its output."""
        with self.start(subprocess.PIPE) as running:
            try:
                output, _ = running.communicate()
            finally:
                end(running)
        assert running.returncode == 0, output[-6000:]
        return output


def end(running: subprocess.Popen[str]) -> None:
    """Kill Snakemake and what it runs here, if it is still there."""
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)


def wait_for(what: str, condition: Callable[[], object]) -> None:
    """Look again and again until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not in {PATIENCE:.0f} s"
        time.sleep(0.2)


@pytest.fixture(scope="session", autouse=True)
def _asked_for(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--slurm"):
        pytest.skip("takes minutes and a SLURM: make test-slurm")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory, _asked_for: None) -> Iterator[Cluster]:
    """A cluster of one node, without any job yet."""
    if name := missing():
        pytest.fail(f"no {name}: apt-get install --no-install-recommends slurm-wlm munge")
    if find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.fail("no executor: pip install 'sagsae[workflow]'")
    with cluster(tmp_path_factory.mktemp("cluster") / "slurm") as made:
        yield made
