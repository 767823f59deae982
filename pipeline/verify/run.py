"""Stage: check everything that a study has on disk; list every fault with its remedy.

    python -m pipeline verify --config @FILE --configfile FILE --threads 4

Nothing is changed. The exit status is 1 if there is a fault. What an unfinished study has not made
yet is none.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import dask

from pipeline.config.synthetic import PROTOCOLS
from pipeline.jobs.json_files import digest, json_argument
from pipeline.study.figures import FIGURE_FILES
from pipeline.study.outputs import CLAIM_TABLES, TABLES
from pipeline.study.study import Study
from pipeline.verify.audit import Audit, amount, size_of
from pipeline.verify.cells import FINISHED, check_cells
from pipeline.verify.inputs import (
    check_assets,
    check_baselines,
    check_documents,
    check_stores,
    check_tokens,
)
from sagsae.files import TEMPORARY_SUFFIXES

SHOWN = 10
"""Names of absent files and left-over temporaries that are listed one by one."""


def verify(study: Study, options: str = "") -> Audit:
    """Check a study, from its models to its report.

    Args:
        study: Its paths are relative to the working directory.
        options: Snakemake's options that choose the study, for the commands of the remedies.
    """
    audit = Audit(study, options)
    check_assets(audit)
    check_documents(audit)
    check_tokens(audit)
    seals = check_stores(audit)
    check_baselines(audit, seals)
    check_cells(audit, seals)
    _check_synthetic_runs(audit)
    for file in _outputs(study):
        if audit.there(file):
            audit.checked["tables, figures and reports"] += 1
    audit.notes += _leftovers(study)
    return audit


def _check_synthetic_runs(audit: Audit) -> None:
    """Runs of the synthetic protocols, which no other target makes, where they are there."""
    study = audit.study
    for protocol, seed in product(PROTOCOLS, study.config.synthetic.seeds):
        file = study.synthetic_run(protocol, seed)
        if not Path(file).exists():
            continue
        audit.size += size_of(Path(file))
        found = audit.read(file, "spec", "rows")
        expected = digest(study.synthetic_spec(protocol, seed))
        if found and audit.same(file, "specification", found["spec"], expected):
            audit.checked["synthetic runs"] += 1


def _outputs(study: Study) -> list[str]:
    tables = [study.table(name) for name in TABLES + CLAIM_TABLES]
    figures = [study.figure(name, end) for name in study.figures for end in FIGURE_FILES]
    return [*tables, *figures, study.report]


def _leftovers(study: Study) -> list[str]:
    found = sorted({path for root in (str(study.root), study.acts_root) for path in _partial(root)})
    if not found:
        return []
    return [
        f"{len(found)} left over by killed jobs; the next job there removes them, or delete them "
        f"while nothing runs: {_some(found)}"
    ]


def _partial(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        yield from (
            os.path.join(folder, name)
            for name in (*folders, *files)
            if name.endswith(TEMPORARY_SUFFIXES)
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def report(audit: Audit) -> str:
    """Faults, then notes, then what was checked."""
    study, lines = audit.study, []
    if audit.faults:
        lines += [f"{len(audit.faults)} fault(s), to be mended from the first to the last:", ""]
        lines += [f"{fault}\n" for fault in audit.faults]
        lines += [f"The commands are for {Path.cwd()}; then run this study as always.", ""]
    lines += [f"note: {note}" for note in audit.notes]
    if audit.absent:
        lines.append(f"not made yet: {_some(audit.absent)}")
    counts = [f"{kind} {count:,}" for kind, count in audit.checked.items() if kind != FINISHED]
    verdict = f"{len(audit.faults)} FAULT(S)" if audit.faults else "no fault"
    lines.append(
        f"study {study.config.study}: {verdict}; {audit.checked[FINISHED]:,} of "
        f"{len(study.cells):,} cells finished; checked: {', '.join(counts)}; "
        f"{amount(audit.size)} read"
    )
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the stage."""
    parser.add_argument("--config", type=json_argument, required=True, help="JSON, or @FILE")
    parser.add_argument("--configfile", nargs="*", default=[], help="for the printed commands")
    parser.add_argument("--threads", type=int, default=1, help="that read chunks side by side")


def main(options: argparse.Namespace) -> None:
    """Run the stage."""
    chosen = f" --configfile {shlex.join(options.configfile)}" if options.configfile else ""
    with dask.config.set(scheduler="threads", num_workers=options.threads):
        audit = verify(Study.from_dict(options.config), chosen)
    print(report(audit), flush=True)
    sys.exit(1 if audit.faults else 0)
