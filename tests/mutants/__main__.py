"""Try every mutant of some modules, and write what became of them: `make mutants`."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.mutants.page import Row, Survivor, page, read_reasons
from tests.mutants.target import ROOT, SURVIVED, Target, outcomes

SAGSAE, CLAIMS = "tests/sagsae", "tests/pipeline/claims"
TARGETS = (
    Target("sagsae/schedules.py", (f"{SAGSAE}/test_schedules.py",)),
    Target("sagsae/frontiers.py", (f"{SAGSAE}/test_sweeps.py", f"{SAGSAE}/test_comparison.py")),
    Target("sagsae/sweeps.py", (f"{SAGSAE}/test_sweeps.py", f"{SAGSAE}/test_comparison.py")),
    Target("sagsae/contrasts.py", (f"{SAGSAE}/test_contrasts.py",)),
    Target("sagsae/comparison.py", (f"{SAGSAE}/test_comparison.py", f"{SAGSAE}/test_compare.py")),
    Target(
        "sagsae/dead_latents.py",
        (f"{SAGSAE}/test_dead_latents.py", f"{SAGSAE}/test_comparison.py"),
    ),
    Target("sagsae/ranking.py", (f"{SAGSAE}/test_ranking.py",)),
    Target("sagsae/training/adam.py", (f"{SAGSAE}/training/test_adam.py",)),
    Target(
        "sagsae/training/optimiser.py",
        tuple(f"{SAGSAE}/training/test_{name}.py" for name in ("optimiser", "ungated_training")),
    ),
    Target(
        "sagsae/training/trainer.py",
        tuple(
            f"{SAGSAE}/training/test_{name}.py"
            for name in ("trainer", "divergence", "ungated_training")
        ),
    ),
    Target("sagsae/activations/commits.py", (f"{SAGSAE}/activations/test_commits.py",)),
    Target(
        "sagsae/evaluation/metrics.py",
        tuple(
            f"{SAGSAE}/evaluation/test_{name}.py" for name in ("reconstruction_metrics", "groups")
        ),
    ),
    *(
        Target(f"pipeline/claims/{name}.py", (f"{CLAIMS}/test_{name}.py",))
        for name in ("evidence", "sweeps", "parts", "latents", "protocols", "limits")
    ),
)
REASONS = Path(__file__).with_name("survivors.toml")
LEAST = 0.95
"""Share of the mutants that must be killed."""


def main() -> str | None:
    """Returns what is wrong, if anything is."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    known = {target.path: target for target in TARGETS}
    parser.add_argument("modules", nargs="*", help="paths of modules; all of them if none is given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="modules at a time")
    parser.add_argument("--page", type=Path, help="Markdown file for the result of all modules")
    parser.add_argument(
        "--keep-kills", action="store_true", help="try only what no earlier tests killed"
    )
    options = parser.parse_args()
    if unknown := set(options.modules) - known.keys():
        parser.error(f"not among the modules: {', '.join(sorted(unknown))}")
    chosen = [known[path] for path in options.modules] or list(TARGETS)
    rows, survivors = [], []
    one = partial(outcomes, keep_kills=options.keep_kills)
    with get_context("fork").Pool(options.jobs, maxtasksperchild=1) as pool:
        for target, found in zip(chosen, pool.imap(one, chosen), strict=True):
            rows.append(Row.of(target.path, [outcome for _, outcome in found]))
            print(rows[-1], flush=True)
            survivors += [Survivor(target.path, key) for key, what in found if what == SURVIVED]
    total = Row.total(rows)
    print(total)
    reasons = {key: why for key, why in read_reasons(REASONS).items() if key.module in known}
    asked = {key for key in reasons if key.module in {target.path for target in chosen}}
    problems = [f"survived, and has no reason: {key}" for key in survivors if key not in reasons]
    problems += [f"has a reason, and is no survivor: {key}" for key in asked - set(survivors)]
    if total.share < LEAST:
        problems.append(f"{total.share:.1%} were killed, less than {LEAST:.0%}")
    if options.page and not options.modules:
        options.page.write_text(page(rows, [(key, reasons.get(key, "")) for key in survivors]))
    if not problems:
        return None
    where = REASONS.relative_to(ROOT)
    return "\n".join([*problems, f"Write a test that kills it, or a reason into {where}."])


if __name__ == "__main__":
    sys.exit(main())
