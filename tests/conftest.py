"""Markers by folder, how processes share the tests, and the table that fault tests end with."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from sagsae.activations.cpu_products import KIND_VARIABLE, CpuKind
from tests import s3_servers
from tests.helpers.campaign import Campaign

TESTS = Path(__file__).parent
WHOLE = ("e2e", "faults", "slurm")
"""Folders whose tests share a study and take most of the time."""
CAMPAIGN = pytest.StashKey[Campaign]()

settings.register_profile("untimed", deadline=None)  # pyproject.toml names it: machines are shared


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults", choices=["short", "full"], default="short", help="how many faults")
    group.addoption("--fault-seed", type=int, default=0, help="of every random choice")
    parser.addoption("--slurm", action="store_true", help="run tests/slurm, which takes minutes")


def pytest_configure(config: pytest.Config) -> None:
    full = config.getoption("--faults") == "full"
    config.stash[CAMPAIGN] = Campaign(full=full, seed=config.getoption("--fault-seed"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the folders of ``WHOLE`` with their folder's name.

    They work in processes of their own, so no coverage is measured there.
    """
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in WHOLE:
            item.add_marker(folder)
            item.add_marker("no_cover")


class FoldersAndFiles(LoadScopeScheduling):
    """Gives a process of pytest-xdist a whole folder of ``WHOLE``, or one of the other files."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.split("::")[0])
        folder = file.relative_to(TESTS.name).parts[0]
        return folder if folder in WHOLE else str(file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FoldersAndFiles:
    return FoldersAndFiles(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    campaign = config.stash[CAMPAIGN]
    if not campaign.rows:
        return
    terminalreporter.write_sep("-", "faults")
    terminalreporter.write_line(campaign.table())


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest) -> Campaign:
    """Where fault tests take their numbers from and count what came of them."""
    return request.config.stash[CAMPAIGN]


@pytest.fixture(scope="module", autouse=True)
def no_wait_for_the_disk(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests of single parts write thousands of small files, and each waits for the disk twice.

    Tests of what a power cut leaves put their own ``fsync`` in this one's place.
    """
    whole = request.path.relative_to(TESTS).parts[0] in WHOLE
    with nullcontext() if whole else patch.object(os, "fsync", lambda descriptor: None):
        yield


@pytest.fixture(params=CpuKind)
def each_cpu_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> CpuKind:
    """The test runs once as on each kind of CPU, whatever kind this machine has."""
    monkeypatch.setenv(KIND_VARIABLE, request.param)
    kind: CpuKind = request.param
    return kind


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a server that keeps S3's rules, one per process of pytest."""
    with s3_servers.server(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket; the environment names its server."""
    for name, value in s3_servers.environment(moto).items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid.uuid4().hex}"
    s3_servers.make_bucket(name)
    return f"s3://{name}"


@pytest.fixture
def proxy(moto: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_servers.Proxy]:
    """Between the test and the server of its bucket."""
    with s3_servers.Proxy(moto) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        yield found
