"""One run of a module's tests in a forked process, with a mutant in its place or without.

What is imported before the fork is not imported again: a mutant takes the time of its tests.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

MEMORY = 6 << 30
"""Bytes that a mutant may ask for; one that fills a list without end stops there."""
DESELECTED = "not slow and not faults and not e2e"


class Substitute(SourceFileLoader):
    """Imports one module from other source, and nothing else."""

    def __init__(self, name: str, path: Path, source: str):
        super().__init__(name, str(path))
        self.source = source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec")


@dataclass
class Ordered:
    """A plugin that runs some tests first and notes what each takes."""

    first: Sequence[str] = ()
    on_start: Any = None
    seconds: dict[str, float] = field(default_factory=dict)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        rank = {name: place for place, name in enumerate(self.first)}
        items.sort(key=lambda item: rank.get(item.nodeid, len(rank)))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self.on_start:
            self.on_start(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.seconds[report.nodeid] = report.duration


def fork(work: Any, log: Path, *, cpu: int, wall: int) -> int:
    """Start a process that ends with the value of ``work()``; it is killed past its seconds."""
    gc.freeze()  # what the parent holds is not searched again by each child
    if pid := os.fork():
        return pid
    code = 70
    try:
        signal.alarm(wall)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = work()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_tests(files: Sequence[str], scratch: Path, plugin: Ordered) -> int:
    """Run them until one fails; always the same examples of Hypothesis."""
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "mutants",
        deadline=None,
        derandomize=True,
        database=None,
        max_examples=25,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    left_out = [f"-pno:{name}" for name in ("warnings", "unraisableexception", "faulthandler")]
    known = "-pxdist.plugin"  # tests/conftest.py has a hook of it
    options = ["-x", "--tb=line", "--assert=plain", known, *left_out, "-o", "addopts=-q"]
    arguments = [*options, "-m", DESELECTED, f"--basetemp={scratch}", *files]
    return int(pytest.main(arguments, [plugin]))
