"""Tables, figures, claims and report of the cells that a study has by now, for a study that is not
finished, or some of whose cells fail.

    python -m pipeline preview --configfile FILE.yaml

All goes to the folder `preview` of the study, and the report names the cells that are missing. A
run that fails ends with it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.jobs.json_files import write_json
from pipeline.study import outputs
from pipeline.study.made_for import is_made_for
from pipeline.study.measures import gather, job_file
from pipeline.study.scope import Scope
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG

ANALYSIS = Path(__file__).resolve().parents[2] / "workflow" / "analysis.smk"


def what_is_there(scope: Scope, root: Path) -> Scope:
    """A study cut to the jobs that have left what its configuration asks for."""
    made_for = {
        kind: [job for job in jobs if is_made_for(job_file(root, kind, job[0]), job[1])]
        for kind, jobs in scope.made_for.items()
    }
    cells, all_runs = dict(made_for["cells"]), made_for["synthetic"] == scope.made_for["synthetic"]
    return scope.model_copy(
        update={
            "made_for": made_for,
            "missing": [path for path in scope.jobs("cells") if path not in cells],
            "curves": [path for path in scope.curves if path in cells],
            "with_synthetic": scope.with_synthetic and all_runs,
        }
    )


def preview(study: Study, cores: int) -> Path | None:
    """Make it.

    Args:
        study: The study; its paths are relative to the working directory.
        cores: How many jobs run at a time.

    Returns:
        The report; None where no cell is there, none is missing, or it cannot be made.
    """
    root = Path(str(study.root))
    there, out = what_is_there(study.scope, root), root / outputs.PREVIEW
    if not (there.grid and there.missing):
        return None
    measures = out / outputs.MEASURES
    write_json(measures / outputs.SCOPE, there.model_dump())
    for kind, jobs in there.made_for.items():
        if jobs:
            gather(there, root, measures / outputs.MEASURED.format(kind=kind))
    gather(there, root, measures / outputs.CURVES)
    command = ["snakemake", f"--snakefile={ANALYSIS}", f"--cores={cores}", "--quiet", "all"]
    command += ["--rerun-triggers", "mtime", "params"]  # profiles/default may be elsewhere
    config = ["--config", f"measures={measures}", f"out={out}"]
    done = subprocess.run([sys.executable, "-m", *command, *config], check=False)
    return None if done.returncode else out / outputs.REPORT


def main(configfile: Path = DEFAULT_CONFIG, cores: int = 1, config: Sequence[str] = ()) -> None:
    """Make it, and say where it is.

    Args:
        configfile: configuration of the study (default: the local study)
        config: KEY=VALUE, as Snakemake's --config
        cores: how many jobs run at a time
    """
    report = preview(Study.load(configfile, config), cores)
    why = "no cell is there, all are (then `snakemake` makes the report), or see above"
    print(f"result: {report}" if report else f"no result: {why}")
