"""Markers by folder; options of the fault tests, and the table they end with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import Campaign

CAMPAIGN = pytest.StashKey[Campaign]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults", choices=["short", "full"], default="short", help="how many faults")
    group.addoption("--fault-seed", type=int, default=0, help="of every random choice")
    group.addoption("--fault-report", type=Path, help="Markdown file to write the table to")


def pytest_configure(config: pytest.Config) -> None:
    full = config.getoption("--faults") == "full"
    config.stash[CAMPAIGN] = Campaign(full=full, seed=config.getoption("--fault-seed"))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of ``tests/faults`` and ``tests/e2e`` with their folder's name.

    They take most of the time and work in processes of their own, so no coverage is measured there.
    Under pytest-xdist each of these folders stays in one worker, as its tests share a study; so
    does every other file.
    """
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        folder = path.parts[0]
        group = str(path)
        if folder in ("faults", "e2e"):
            group = folder
            item.add_marker(folder)
            item.add_marker("no_cover")
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    campaign = config.stash[CAMPAIGN]
    if not campaign.rows:
        return
    terminalreporter.write_sep("-", "faults")
    terminalreporter.write_line(campaign.table())
    if report := config.getoption("--fault-report"):
        campaign.write_report(report)


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest) -> Campaign:
    """Where fault tests take their numbers from and count what came of them."""
    return request.config.stash[CAMPAIGN]
