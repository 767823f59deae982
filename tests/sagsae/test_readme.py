"""The library's example in the README, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import sagsae
from tests.sagsae.samples import sparse_store

ROOT = Path(__file__).parents[2]
MODEL = yaml.safe_load((ROOT / "workflow/configs/local.yaml").read_text())["models"][0]["name"]
"""Of the local study, whose stores the example reads."""


def example() -> str:
    """The one Python block of the section "The library"."""
    section = re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.M)
    (library,) = (text for text in section if text.startswith("The library\n"))
    (code,) = re.findall(r"^```python\n(.*?)^```", library, flags=re.M | re.S)
    return str(code)


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    stores = tmp_path / "cache" / "stores"
    sparse_store(stores / f"{MODEL}-train-0123", 1)
    sparse_store(stores / f"{MODEL}-heldout-0123", 2, blocks=2)
    monkeypatch.chdir(tmp_path)
    exec(compile(example(), "README.md", "exec"), {})
    assert re.fullmatch(r"R2 0\.\d{3} at L0 \d+\.\d\n", capsys.readouterr().out)
    assert sagsae.load(tmp_path / "sae.safetensors").width == 64
