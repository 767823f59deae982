"""Keep of a finished study what can be committed: its measures, and what follows from them.

    python -m pipeline publish --configfile FILE.yaml --out results/reference/local

The folder gets the measures, the tables as CSV, the claims page, the figures named, the resolved
configuration and a README. `workflow/analysis.smk` makes everything else again.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.analysis.names import tables_of
from pipeline.jobs.environment import installed, machine
from pipeline.jobs.json_files import write_json
from pipeline.study import outputs
from pipeline.study.measures import Measures
from pipeline.study.scope import Scope
from pipeline.study.study import Study
from sagsae.files import write_atomic


def publish(root: Path, out: Path, figures: Sequence[str]) -> None:
    """Copy measures, tables, the claims page and figures; ``out`` keeps what else it has.

    Args:
        root: Folder of the finished study.
        out: Folder of the published study.
        figures: Names of those that a page shows.

    Raises:
        FileNotFoundError: the study has not run to its end; the message names what it lacks.
    """
    scope = Scope.read(root / outputs.MEASURES / outputs.SCOPE)
    # Calibration slopes are one figure's, and large.
    kept = [name for name in tables_of(scope) if name != outputs.CALIBRATION]
    tables = [f"tables/{name}" for name in (*kept, *[outputs.CLAIMS_PAGE] * bool(scope.claims))]
    tables += [str(Path("figures", name).with_suffix(".png")) for name in figures]
    for folder in (outputs.MEASURES, outputs.SYNTHETIC):
        files = (root / folder).glob("*.*")
        tables += [path.relative_to(root).as_posix() for path in files if path.suffix != ".json"]
    tables.append(f"{outputs.MEASURES}/{outputs.SCOPE}")
    if scope.curves:
        tables.append(f"{outputs.MEASURES}/{outputs.CURVES}")
    for name in tables:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, out / name)


def readme(scope: Scope, out: Path, hours: float) -> str:
    """What the folder is, and how to make its results again."""
    versions = ", ".join(f"{name} {found}" for name, found in installed().items())
    return f"""# Study `{scope.study}`

{scope.note}

| | |
|---|---|
| cells | {len(scope.cells)} |
| machine | {machine()} |
| training, summed over cells | {hours:.2f} h |
| versions | {versions} |

`measures/` has what jobs left; everything else follows from it. Make it again, with all figures and
the report:

    make rebuild FROM={out} TO=FOLDER
"""


def main(configfile: Path, out: Path, figures: Sequence[str] = ()) -> None:
    """Run the stage.

    Args:
        configfile: configuration of the study
        out: folder of the published study
        figures: names of the figures to keep as PNG
    """
    study = Study.load(configfile)
    publish(Path(str(study.root)), out, figures)
    cells = Measures(out / outputs.MEASURES).metrics(study.scope).values()
    hours = sum(cell.training.seconds for cell in cells) / 3600
    write_json(out / outputs.CONFIGURATION, study.config.model_dump())
    write_json(out / outputs.ENVIRONMENT, {"versions": installed(), "machine": machine()})
    write_atomic(out / outputs.README, readme(study.scope, out, hours).encode())
