"""What a study's results are, apart from what no two runs share: times, logs, memory."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline.files import read_json
from tests.e2e.conftest import ROOT

COSTS = ("seconds", "tokens_per_second", "data_wait_seconds", "peak_memory_mb")
"""Fields of a cell's training section that no two runs share."""


def small_study(folder: Path, **sections: Any) -> Path:
    """A configuration of one tiny model and two cells; ``sections`` are merged into it."""
    raw = yaml.safe_load((ROOT / "workflow/configs/smoke.yaml").read_text())
    raw["models"] = raw["models"][1:]
    raw["grid"] = [
        {"variant": variant, "expansion": expansion, "lambdas": [0.1], "hookpoints": ["resid"]}
        for variant, expansion in (("gated", 4), ("sagsae_tied", 2))
    ]
    raw["checkpoint_seconds"] = 1
    for name, value in sections.items():
        raw[name] = raw[name] | value if isinstance(value, dict) else value
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(raw))
    return config


def without_costs(path: Path) -> dict[str, Any]:
    """A signed JSON file of a cell without its costs."""
    value = read_json(path)
    for section in (value, value.get("training", {})):
        for field in COSTS:
            section.pop(field, None)
    return value


def results_digest(root: Path) -> str:
    """sha256 over everything that a study made, costs, logs and working state left out."""
    state = hashlib.sha256()
    assert (root / "report.html").exists(), f"{root} holds no finished study"
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        hidden = any(part.startswith(".") for part in name.split("/"))
        if hidden or name.startswith("logs/") or not path.is_file():
            continue
        if name == "report.html":  # shows the tables, their costs as well
            state.update(f"{name}\n".encode())
            continue
        if path.name in ("metrics.json", "training.json"):
            content = json.dumps(without_costs(path), sort_keys=True).encode()
        elif path.name == "cells.csv":
            table = pd.read_csv(path)
            costs = [f"training_{field}" for field in COSTS]
            content = table.drop(columns=costs).to_csv().encode()
        else:
            content = path.read_bytes()
        state.update(f"{name} {len(content)}\n".encode() + content)
    return state.hexdigest()
