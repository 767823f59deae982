"""Contenders in processes of their own, so that other environments' libraries take turns with ours.

A worker first writes the names of its contenders. Then it reads lines ``name count`` from standard
input, makes ``count`` training steps of that contender, and answers with one JSON line: seconds of
wall and of processor time. Only one worker runs at any time. This module imports nothing but NumPy
and PyTorch: peers' environments run it too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

Step = Callable[[], object]


def arguments() -> argparse.Namespace:
    """Of a worker: shapes, data, threads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batches", type=Path, required=True, help="[n, B, d] float32, .npy")
    parser.add_argument("--library", default="sagsae")
    parser.add_argument("--k", type=int, default=0, help="active latents, of k-sparse families")
    parser.add_argument("--names", nargs="*", default=[], help="variants, of families")
    return parser.parse_args()


def load_batches(path: Path) -> list[torch.Tensor]:
    """The batches that all contenders train on, at unit mean square norm."""
    return [torch.from_numpy(batch) for batch in np.load(path)]


def serve(make: Callable[[], Mapping[str, Step]]) -> None:
    """Answer until standard input ends.

    Standard output is for answers alone: what libraries print there goes to standard error.

    Args:
        make: Imports what the contenders need, and makes them.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    contenders = make()
    print(json.dumps(list(contenders)), file=answers)
    for line in sys.stdin:
        name, count = line.rsplit(maxsplit=1)
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            for _ in range(int(count)):
                contenders[name]()
        except Exception as error:
            print(json.dumps({"failed": f"{type(error).__name__}: {error}"[:200]}), file=answers)
            continue
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall": wall, "cpu": cpu}), file=answers)


class StepFailed(RuntimeError):
    """A contender cannot make its step here."""


class Worker:
    """A worker's process, as a context manager.

    Args:
        python: Interpreter of its environment.
        module: What it runs, for example ``benchmarks.peers``.
        args: Its arguments, as in `arguments`.
        environment: Variables; by default those of this process.
    """

    def __init__(
        self, python: str, module: str, *args: str, environment: Mapping[str, str] = os.environ
    ):
        environment = {**environment, "PYTHONPATH": str(Path(__file__).parents[1])}
        self._process = subprocess.Popen(
            [python, "-m", module, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.names: list[str] = json.loads(self._answer())

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, name: str, count: int) -> tuple[float, float]:
        """Seconds of wall and processor time that ``count`` steps took.

        Raises:
            StepFailed: the contender raised an error; others may still run.
            RuntimeError: the worker ended; what it said is on standard error.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name} {count}\n")
        self._process.stdin.flush()
        found = json.loads(self._answer())
        if "failed" in found:
            raise StepFailed(f"{name}: {found['failed']}")
        return found["wall"], found["cpu"]

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if answer := self._process.stdout.readline():
            return answer
        raise RuntimeError(f"{self._process.args} ended, see its messages above")
