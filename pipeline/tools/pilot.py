"""Find lambdas that bring the sweeps of a study to the L0 that you ask for.

    python -m pipeline pilot --configfile FILE.yaml --l0 16 64 128

It prints a section `grid`, to paste in the place of the study's own. Each sweep is trained at a few
lambdas, with one seed and few tokens, as a study of its own. A pilot that was stopped goes on with
the same command, and the study finds the stores that the pilot made. L0 still moves with more
tokens, so the outermost lambdas leave a margin. Of a variant with three widths at a place, the
pilot says what twice the widest would give, by the law of width.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline.analysis.tables.scaling import law_of
from pipeline.jobs.json_files import read_json
from pipeline.study.cell import by_sweep
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


def lambdas_at(curve: dict[float, float], l0: Sequence[float]) -> list[float]:
    """The lambdas of some L0, linear in both logarithms, two digits; NaN beyond those tried.

    Args:
        curve: Lambda -> L0, of one sweep.
        l0: Ascending; the outermost two are taken with the margin.
    """
    lams = sorted((lam for lam, active in curve.items() if active > 0), reverse=True)
    if not lams:
        return [math.nan] * len(l0)
    aims = [l0[0] / MARGIN, *l0[1:-1], l0[-1] * MARGIN] if len(l0) > 1 else l0
    rising = np.maximum.accumulate([curve[lam] for lam in lams])
    logs = np.interp(np.log(aims), np.log(rising), np.log(lams), left=np.nan, right=np.nan)
    return [float(f"{lam:.2g}") for lam in np.exp(logs)]


def grid_with(pilot: Study, study: Study, l0: Sequence[float]) -> str:
    """The grid of a study with the lambdas that its pilot found: a block for each sweep.

    Raises:
        ConfigError: no lambda that was tried gives an L0 that was asked for.
    """
    sweeps, lines = by_sweep(study.cells), ["grid:"]
    for sweep, cells in by_sweep(pilot.cells).items():
        curve = {cell.knob: read_json(pilot.metrics(cell))["l0"] for cell in cells}
        lambdas = lambdas_at(curve, l0)
        there = sorted({lam for lam in lambdas if not math.isnan(lam)})
        if not there:
            fault = "the lambdas tried give no L0 that was asked for: name others with --lambdas"
            raise ConfigError(f"{'/'.join(map(str, sweep))}: {fault}")
        block = {"variant": sweep.variant, "width": sweep.width, "models": [sweep.model]}
        block |= {"hookpoints": [sweep.hookpoint]}
        if study.config.recipes:
            block |= {"recipes": [sweep.recipe or DEFAULT_RECIPE]}
        block |= {"lambdas": there, "seeds": sorted({cell.seed for cell in sweeps[sweep]})}
        shown = (f"L0 {at:g} at {lam:g}" for at, lam in zip(l0, lambdas, strict=True))
        lines.append(f"  # {', '.join(shown)}; nan is beyond the lambdas tried")
        lines.append(f"  - {_in_one_line(block)}")
    return "\n".join(lines)


def twice_the_width(pilot: Study, l0: Sequence[float]) -> list[str]:
    """What a law of width, fitted to the pilot's cells, says of twice the widest of each variant at
    each place: a line of comment each; none where a variant has fewer than three widths."""
    read = {cell: read_json(pilot.metrics(cell)) for cell in pilot.cells}
    rows = pd.DataFrame(
        {"sweeps": f"{cell.model}/{cell.hookpoint}/{cell.variant}", "recipe": cell.recipe}
        | {"width": cell.width, "training_tokens": pilot.training(cell).tokens}
        | {name: read[cell][name] for name in ("l0", "r2", "collapsed")}
        for cell in pilot.cells
    )
    rows = rows[rows["collapsed"].str.len() == 0]
    lines = []
    for (sweeps, _), cells in rows.groupby(["sweeps", "recipe"]):
        law = law_of(cells)
        if law is None or "b_n" not in law.terms:
            continue
        wide = 2 * cells["width"].max()
        longest = cells["training_tokens"].max()
        at = pd.DataFrame({"width": wide, "l0": l0, "training_tokens": longest})
        told = zip(l0, 1 - law.error(at), strict=True)
        shown = ", ".join(f"R2 {r2:.3f} at L0 {active:g}" for active, r2 in told)
        lines.append(
            f"# {sweeps} of {wide} latents, twice the widest, trained as the pilot: {shown}"
        )
    return lines


def _in_one_line(block: dict[str, Any]) -> str:
    text = yaml.safe_dump(block, default_flow_style=True, sort_keys=False, width=math.inf)
    return text.strip()


def main(
    configfile: Path,
    l0: Sequence[float] = (16, 64, 128),
    lambdas: Sequence[float] = (0.02, 0.06, 0.2, 0.6),
    tokens: int | None = None,
) -> None:
    """Train the pilot, and print the grid that has the lambdas.

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
    config = pilot_configuration(raw, lambdas, tokens or max(training.tokens // 4, least))
    pilot = Study.from_dict(config, f"{configfile}, as a pilot")
    file = Path(str(pilot.root), "pilot.yaml")
    write_atomic(file, yaml.safe_dump(config, sort_keys=False).encode())
    train(pilot, file)
    grid = grid_with(pilot, study, sorted(l0))
    for block in raw["grid"]:
        if not block.get("lambdas"):
            grid += f"\n  - {_in_one_line(block)}"
    lines = [f"Paste this into {configfile}, for its own grid:", "", grid]
    print("\n".join([*lines, *twice_the_width(pilot, sorted(l0))]))
