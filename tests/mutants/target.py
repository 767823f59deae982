"""A module under mutation, its tests, and what became of each of its mutants."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from coverage import Coverage

from tests.mutants.child import Ordered, Substitute, fork, run_tests
from tests.mutants.mutations import Key, Mutation, mutations
from tests.test_layout import imports, modules

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".mutants"
KILLED, TIMEOUT, SURVIVED = "killed", "timeout", "survived"
OURS = ("sagsae", "pipeline", "tests", "benchmarks")
BASELINE_SECONDS = 600


@dataclass(frozen=True)
class Target:
    """A module, as a path from the root, and the test files that are about it."""

    path: str
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").replace("/", ".")

    @property
    def source(self) -> str:
        return (ROOT / self.path).read_text(encoding="utf-8")

    @property
    def results(self) -> Path:
        """A line per mutant that was tried; a run that was stopped goes on after them."""
        return KEPT / f"{self.module}.jsonl"

    def digest(self) -> str:
        """Of the code and the tests: results of another digest are not used."""
        state = hashlib.sha256(repr(self).encode())
        sources = [path for package in OURS[:2] for path in (ROOT / package).rglob("*.py")]
        for path in (*sorted(sources), *(ROOT / name for name in self.tests)):
            state.update(path.read_bytes())
        return state.hexdigest()[:16]


@dataclass(frozen=True)
class Baseline:
    """The tests without a mutant."""

    seconds: dict[str, float]
    by_line: dict[int, list[str]]
    cpu: float

    def order(self, lines: range) -> list[str]:
        """Tests that run these lines, the shortest first."""
        found = {name for line in lines for name in self.by_line.get(line, ())}
        return sorted(found, key=lambda name: (self.seconds.get(name, 0.0), name))


def outcomes(target: Target, *, keep_kills: bool = False) -> list[tuple[Key, str]]:
    """Try every mutant of a module, one at a time. Call it once in a process, which imports much.

    Args:
        target: The module and its tests.
        keep_kills: Mutants that earlier tests killed are not tried again.

    Raises:
        RuntimeError: the tests fail without a mutant.
    """
    digest, known = target.digest(), {}
    if target.results.exists():
        for line in target.results.read_text().splitlines():
            entry = json.loads(line)
            old = entry["digest"] != digest
            if not old or (keep_kills and entry["outcome"] != SURVIVED):
                known[Key(**entry["key"])] = entry["outcome"]
    found = mutations(target.source)
    waiting = [mutation for mutation in found if mutation.key not in known]
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, target.results.open("a") as results:
        baseline = measure(target, Path(folder)) if waiting else None
        for mutation in waiting:
            known[mutation.key] = _try(target, mutation, baseline, Path(folder))
            entry = {"digest": digest, "key": asdict(mutation.key)}
            entry["outcome"] = known[mutation.key]
            results.write(json.dumps(entry) + "\n")
            results.flush()
    return [(mutation.key, known[mutation.key]) for mutation in found]


def _try(target: Target, mutation: Mutation, baseline: Baseline, folder: Path) -> str:
    def work() -> int:
        loader = Substitute(target.module, ROOT / target.path, mutation.source)
        sys.meta_path.insert(0, loader)
        return run_tests(target.tests, folder / "t", Ordered(baseline.order(mutation.lines)))

    cpu = int(5 + 3 * baseline.cpu)
    pid = fork(work, folder / "log", cpu=cpu, wall=300 + 30 * cpu)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        stopped = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL)
        return TIMEOUT if stopped else KILLED
    return KILLED if os.WEXITSTATUS(status) else SURVIVED


def measure(target: Target, folder: Path) -> Baseline:
    """Run the tests on the module as it is; import what all runs share."""
    path, report = str(ROOT / target.path), folder / "baseline.json"
    known = modules(ROOT, "sagsae") | modules(ROOT, "pipeline")
    graph = {name: imports(file, known, at_once=True) for name, file in known.items()}

    def work() -> int:
        coverage = Coverage(data_file=None, include=[path], branch=False)
        plugin = Ordered(on_start=coverage.switch_context)
        coverage.start()
        begun = time.process_time()
        code = run_tests(target.tests, folder / "t", plugin)
        coverage.stop()
        by_line = coverage.get_data().contexts_by_lineno(path)
        preload = [name for name in sys.modules if _apart(name, target.module, graph)]
        values = (plugin.seconds, by_line, preload, time.process_time() - begun)
        report.write_text(json.dumps(values))
        return code

    log = folder / "log"
    pid = fork(work, log, cpu=BASELINE_SECONDS, wall=3 * BASELINE_SECONDS)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(f"tests of {target.path} fail without a mutant:\n{log.read_text()}")
    seconds, by_line, preload, cpu = json.loads(report.read_text())
    for name in preload:
        try:
            import_module(name)
        except ImportError:
            continue  # made by another module when that was imported
    if target.module in sys.modules:
        raise RuntimeError(f"{target.module} was imported early: no mutant would take its place")
    lines = {int(line): [name for name in names if name] for line, names in by_line.items()}
    return Baseline(seconds, lines, cpu)


def _apart(name: str, module: str, graph: dict[str, set[str]]) -> bool:
    """Whether a module can be imported without ``module``; tests are read by pytest itself."""
    if name.partition(".")[0] not in OURS:
        return name != "__main__" and not name.startswith(("_pytest.config", "pytest_cov"))
    reached, waiting = set[str](), {name, name.rpartition(".")[0]} & graph.keys()
    while waiting:
        reached |= waiting
        used = waiting.union(*(graph.get(one, ()) for one in waiting))
        waiting = used.union(*map(_packages, used)) & graph.keys() - reached
    return name in graph and module not in reached


def _packages(name: str) -> set[str]:
    """What Python imports before a module: the packages that it lies in."""
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}
