"""Keep of a finished study what can be committed: its measures, and what follows from them.

    python -m pipeline publish --configfile FILE.yaml --out results/reference/local-reference

The folder gets the measures, the tables as CSV, the claims page, the figures named, the resolved
configuration and a README. `workflow/analysis.smk` makes everything else again.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.analysis.csv_files import changed_tables
from pipeline.analysis.table import SUMS, files_made_from, sources
from pipeline.analysis.tables.latents import CALIBRATION
from pipeline.jobs.json_files import write_json
from pipeline.study import outputs
from pipeline.study.measures import Measures
from pipeline.study.metrics import CellMetrics
from pipeline.study.scope import Scope
from pipeline.study.study import Study
from sagsae.files import write_atomic

# Of what made the tables; cells say what they were trained and measured with.
PACKAGES = ("zarr", "numpy", "pandas", "matplotlib", "snakemake")


def publish(root: Path, out: Path, scope: Scope, figures: Sequence[str]) -> None:
    """Copy measures, tables, the claims page and figures; ``out`` keeps what else it has.

    Args:
        root: Folder of the finished study.
        out: Folder of the published study. Nothing is written before all is known to be there.
        scope: The study, as its configuration says.
        figures: Names of those that a page shows.

    Raises:
        MetricsError: measures are missing, damaged, or of another configuration.
        ValueError: tables are missing, were edited, or follow from something else.
    """
    measures = Measures(root / outputs.MEASURES, scope)
    measures.check()
    names = []
    for source in filter(lambda source: source.when(scope), sources()):
        # Calibration slopes are one figure's, and large.
        made = [path for path in files_made_from(source, scope) if path != CALIBRATION.path]
        names += [path for path in made if not path.endswith(SUMS)]
    names += [str(Path("figures", name).with_suffix(".png")) for name in figures]
    names += [f"{outputs.MEASURES}/{name}" for name in measures.files]
    if missing := [name for name in names if not (root / name).exists()]:
        raise ValueError(f"{root}: not there: {', '.join(missing)}: run the study to its end")
    if faults := changed_tables(root, scope):
        raise ValueError("; ".join(faults))
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, out / name)


def installed() -> dict[str, str]:
    """Python and the packages that make tables and figures, as installed here."""
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed as a package"
    return versions


def versions_of(cells: Collection[CellMetrics]) -> dict[str, str]:
    """The packages that cells say they were trained and measured with; of versions that differ
    each, and how many cells have it."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for cell in cells:
        known = cell.made_from.trained_with.items() | cell.made_from.evaluated_with.items()
        for name, found in known:
            counts[name][found] += 1
    shown = {}
    for name, own in sorted(counts.items()):
        parts = [f"{found} ({count} of {len(cells)} cells)" for found, count in sorted(own.items())]
        shown[name] = " and ".join(parts if len(own) > 1 else own)
    return shown


def machine() -> str:
    """Processor, cores and memory of this machine."""
    named = re.search(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.M)
    model = named[1].strip() if named else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GiB"


def readme(scope: Scope, out: Path, hours: float, versions: Mapping[str, str]) -> str:
    """What the folder is, and how to make its results again."""
    named = ", ".join(f"{name} {known}" for name, known in versions.items())
    return f"""# Study `{scope.study}`

{scope.note}

| | |
|---|---|
| cells | {len(scope.grid)} |
| machine | {machine()} |
| training, summed over cells | {hours:.2f} h |
| versions | {named} |

`measures/` has what jobs left; everything else follows from it. Make it again, with all figures and
the report:

    make rebuild FROM={os.path.relpath(out)} TO=FOLDER
"""


def main(
    configfile: Path, out: Path, figures: Sequence[str] = (), config: Sequence[str] = ()
) -> None:
    """Run the stage.

    Args:
        configfile: configuration of the study
        config: KEY=VALUE, as Snakemake's --config
        out: folder of the published study
        figures: names of the figures to keep as PNG
    """
    study = Study.load(configfile, config)
    publish(Path(str(study.root)), out, study.scope, figures)
    cells = Measures(out / outputs.MEASURES, study.scope).metrics().values()
    hours = sum(cell.training.seconds for cell in cells) / 3600
    versions = versions_of(cells) | installed()
    for name in (name for name, known in versions.items() if " and " in known):
        print(f"warning: cells of several versions of {name}: {versions[name]}", file=sys.stderr)
    write_json(out / outputs.CONFIGURATION, study.config.model_dump())
    write_json(out / outputs.ENVIRONMENT, {"versions": versions, "machine": machine()})
    write_atomic(out / outputs.README, readme(study.scope, out, hours, versions).encode())
