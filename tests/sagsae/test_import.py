"""``import sagsae``: lazy, complete, and without effect on the process."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import sagsae

SOURCE = Path(sagsae.__file__)
REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "local-reference"
HEAVY = ("torch", "numpy", "pandas", "transformers", "zarr", "numba", "dask")
OBSERVE = """
import json, os, signal, sys, threading, warnings, logging
{setup}
def state():
    return {{
        "environment": dict(os.environ), "directory": os.getcwd(), "path": list(sys.path),
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
        "threads": threading.active_count(), "log level": logging.getLogger().level,
    }}
before = state()
import sagsae
{use}
after = state()
changed = [name for name in before if before[name] != after[name]]
print(json.dumps([changed, sorted(sys.modules)]))
"""


def observed(setup: str = "", use: str = "") -> tuple[list[str], list[str]]:
    """What changed in a fresh process, and the modules that it has in the end."""
    code = OBSERVE.format(setup=setup, use=use)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    changed, modules = json.loads(done.stdout)
    return changed, modules


def test_the_import_loads_nothing_and_changes_nothing():
    changed, modules = observed()
    assert changed == []
    assert [name for name in modules if name.startswith("sagsae")] == ["sagsae"]
    assert not set(HEAVY) & set(modules)


def test_results_need_no_torch():
    _, modules = observed(use="sagsae.results; sagsae.compare; sagsae.Sweep")
    assert "torch" not in modules


def test_the_library_needs_no_extra():
    extras = "snakemake pydantic matplotlib datasets pyarrow tabulate gguf accelerate pipeline"
    extras += " obstore dask"
    _, modules = observed(
        setup=f"for name in '{extras}'.split(): sys.modules[name] = None",
        use=f"for name in sagsae.__all__: getattr(sagsae, name)\n"
        f"sagsae.results({str(REFERENCE)!r})\n"
        "import sagsae.synthetic.runs, sagsae.comparison.contrasts",
    )
    assert "sagsae.training.trainer" in modules


def test_every_name_is_typed_as_it_is_found():
    tree = ast.parse(SOURCE.read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {name: f"sagsae.{module}" for name, module in sagsae._MODULES.items()}
    assert sagsae.__all__ == sorted(typed)


def test_every_name_is_there_and_documented():
    for name in sagsae.__all__:
        assert getattr(sagsae, name).__doc__, name
    assert set(sagsae.__all__) <= set(dir(sagsae))
