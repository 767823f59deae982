"""Find lambdas that bring the sweeps of a study to the L0 that you ask for.

    python -m pipeline pilot --configfile FILE.yaml --l0 16 64 128

It prints a section `grid`, to paste in the place of the study's own. Each sweep is trained at a few
lambdas, with one seed and few tokens, as a study of its own. A pilot that was stopped goes on with
the same command, and the study finds the stores that the pilot made. L0 alone is read. L0 still
moves with more tokens, so the outermost lambdas leave a margin.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline.jobs.json_files import read_json
from pipeline.study.cell import SweepKey, by_sweep
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from pipeline.study.study_config import load_yaml
from pipeline.study.training import DEFAULT_RECIPE
from sagsae.files import write_atomic

# After 50 steps, while lambda still rises, its lambdas were 1.2 to 3.8 times too large.
LEAST_STEPS = 200
# The outermost lambdas aim at the smallest L0 over this, and at the largest L0 times this.
MARGIN = 1.25
# Sections of a study that its pilot does without.
LEFT_OUT = ("comparisons", "dial", "probe", "signs", "browser", "synthetic", "reference")


def pilot_configuration(
    raw: dict[str, Any], lambdas: Sequence[float], tokens: int
) -> dict[str, Any]:
    """The study that the pilot runs: all blocks with lambdas, at those of the pilot."""
    swept = [block for block in raw["grid"] if block.get("lambdas")]
    if not swept:
        raise ConfigError("grid: no block has lambdas, so there are none to find")
    recipes = {
        name: recipe | {"training": {**recipe.get("training", {}), "tokens": tokens}}
        for name, recipe in raw.get("recipes", {}).items()
    }
    return {name: value for name, value in raw.items() if name not in LEFT_OUT} | {
        "study": f"{raw['study']}-pilot",
        "grid": [block | {"lambdas": list(lambdas), "seeds": [0]} for block in swept],
        "training": {**raw.get("training", {}), "tokens": tokens},
        "recipes": recipes,
    }


def train(pilot: Study, config: Path) -> None:
    """Let Snakemake train the pilot's cells, as it trains those of any study."""
    targets = [pilot.metrics(cell) for cell in pilot.cells]
    command = ["snakemake", "--cores", "all", f"--configfile={config}", *targets]
    if subprocess.run([sys.executable, "-m", *command], check=False).returncode:
        raise RuntimeError("not all cells of the pilot are trained: the same command goes on")


def measured(pilot: Study) -> dict[SweepKey, dict[float, float]]:
    """Each sweep of the pilot: lambda -> L0."""
    curves: dict[SweepKey, dict[float, float]] = defaultdict(dict)
    for cell in pilot.cells:
        curves[cell.sweep][cell.knob] = read_json(Path(pilot.metrics(cell)))["l0"]
    return curves


def lambda_at(curve: dict[float, float], l0: float) -> float:
    """The lambda of an L0, linear in both logarithms, two digits; NaN beyond the lambdas tried."""
    lams = sorted((lam for lam, active in curve.items() if active > 0), reverse=True)
    if not lams:
        return math.nan
    rising = np.maximum.accumulate([curve[lam] for lam in lams])
    logs = np.log(l0), np.log(rising), np.log(lams)
    return float(f"{np.exp(np.interp(*logs, left=np.nan, right=np.nan)):.2g}")


def lambdas_of(curve: dict[float, float], asked: Sequence[float]) -> dict[float, float]:
    """L0 asked for -> lambda, of one sweep; the outermost two with the margin."""
    aims = {l0: l0 for l0 in asked}
    if len(aims) > 1:
        aims |= {min(asked): min(asked) / MARGIN, max(asked): max(asked) * MARGIN}
    return {l0: lambda_at(curve, aim) for l0, aim in aims.items()}


def blocks_with(
    found: dict[SweepKey, dict[float, float]], study: Study, raw: dict[str, Any]
) -> list[dict[str, Any]]:
    """The blocks of the grid: those with lambdas one a sweep, at the lambdas found."""
    cells = by_sweep(study.cells)
    blocks = [block for block in raw["grid"] if not block.get("lambdas")]
    for key, row in found.items():
        lambdas = sorted({lam for lam in row.values() if not math.isnan(lam)})
        if not lambdas:
            name = "/".join(map(str, key))
            fault = "the lambdas tried give no L0 that was asked for: name others with --lambdas"
            raise ConfigError(f"{name}: {fault}")
        block = {"variant": key.variant, "width": key.width, "models": [key.model]}
        block |= {"hookpoints": [key.hookpoint]}
        block |= {"recipes": [key.recipe or DEFAULT_RECIPE]} if raw.get("recipes") else {}
        seeds = sorted({cell.seed for cell in cells[key]})
        blocks.append(block | {"lambdas": lambdas, "seeds": seeds})
    return blocks


def main(
    configfile: Path,
    l0: Sequence[float] = (16, 64, 128),
    lambdas: Sequence[float] = (0.02, 0.06, 0.2, 0.6),
    tokens: int | None = None,
) -> None:
    """Train the pilot, print the lambdas, and the grid that has them.

    Args:
        configfile: configuration of the study; its lambdas are ignored
        l0: mean numbers of active latents that the sweeps are to enclose
        lambdas: those that the pilot tries
        tokens: of each cell of the pilot (default: a quarter of the study's, 200 steps at least)
    """
    raw = load_yaml(configfile)
    study = Study.from_dict(raw, str(configfile))
    training = study.config.training
    least = min(training.tokens, LEAST_STEPS * training.batch_size)
    few = tokens or max(training.tokens // 4, least)
    config = pilot_configuration(raw, lambdas, few)
    pilot = Study.from_dict(config, f"{configfile}, as a pilot")
    file = Path(str(pilot.root), "pilot.yaml")
    write_atomic(file, yaml.safe_dump(config, sort_keys=False).encode())
    train(pilot, file)
    found = {key: lambdas_of(curve, l0) for key, curve in measured(pilot).items()}
    columns = {
        key: {f"lambda for L0 {l0:g}": lam for l0, lam in row.items()} for key, row in found.items()
    }
    shown = pd.DataFrame([key._asdict() | row for key, row in columns.items()])
    blocks = [
        yaml.safe_dump(block, default_flow_style=True, sort_keys=False, width=math.inf)
        for block in blocks_with(found, study, raw)
    ]
    print(f"{shown.to_markdown(index=False)}\n\nPaste this into {configfile}, for its own grid:\n")
    print("grid:\n" + "".join(f"  - {block}" for block in blocks), end="")
