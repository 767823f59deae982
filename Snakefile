# What can be asked for. Configuration: --configfile FILE, else workflow/configs/local.yaml.
import sys
from pathlib import Path
from types import SimpleNamespace

CHECKOUT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True))
sys.path.insert(0, str(CHECKOUT))  # whatever --directory says

from snakemake.exceptions import WorkflowError
from snakemake.io import IOFile
from snakemake.utils import min_version

from pipeline.cells.unnoted import mark_unnoted
from pipeline.claims.reference import claims_file
from pipeline.config.spelling import CellNameError
from pipeline.config.study_config import DEFAULT_CONFIG, ConfigError, load_yaml
from pipeline.config.synthetic import PROTOCOLS
from pipeline.jobs.cache import register
from pipeline.jobs.gpu_lease import visible_devices
from pipeline.jobs.json_files import canonical, digest
from pipeline.jobs.remedies import explain
from pipeline.jobs.stage import (
    name_run,
    note_submission,
    put_checkout_first,
    relax_gc,
    successor_of_run,
)
from pipeline.study.ancient_inputs import read_by_cells
from pipeline.study.browsed import (
    browsed,
    browsed_at,
    browser_spec_file,
    read_by_browser,
    write_browser_specs,
)
from pipeline.study.cell import PATTERN, WILDCARDS
from pipeline.study.curve_files import curve_figures, curves_of, figures_with_curves
from pipeline.study.figures import (
    FIGURE_PROTOCOLS,
    SYNTHETIC_FIGURES,
    shows_dial,
    shows_probes,
    title_and_caption,
)
from pipeline.study.formats import converted_synthetic, converted_tables, figure_files
from pipeline.study.kept import Kept
from pipeline.study.exported import export_spec, read_by_hub
from pipeline.study.outputs import (
    BROWSER,
    BROWSER_PAGE,
    CURVE,
    DIAL_TABLES,
    OF_COMPARISON,
    HUB,
    LATENT_TENSORS,
    PROBE_TABLES,
    SAELENS,
    STATE,
    TOGETHER,
    TRAINING,
    WEIGHTS,
)
from pipeline.study.steered import read_by_dial, read_by_probe
from pipeline.study.streams import Streams
from pipeline.study.study import SPLITS, Study
from pipeline.tools.requests import Requests
from pipeline.tools.work import Rates
from pipeline.tracking.asked import Asked, advice, pass_on
from sagsae.files import FileLock, LockedError

min_version("9.20")

relax_gc()  # a plan is millions of objects

if "study" not in config:
    config = load_yaml(DEFAULT_CONFIG) | config
try:
    for path in workflow.configfiles:
        load_yaml(Path(path))  # sees keys that are given twice, of which Snakemake keeps the last
    study = Study.from_dict(config, "configuration", plan=workflow.is_main_process)
    browsed(study)
except (ConfigError, CellNameError) as error:
    files = " and ".join(map(str, workflow.configfiles))
    taken = f"\n--configfile took {files}: is one a target? Then name targets before options."
    raise WorkflowError(f"{error}{taken if ' and ' in files else ''}") from None

# Jobs run the interpreter that runs Snakemake and the code of this checkout, by names that are the
# same on every machine: the text of a command is compared between runs, and its change would train
# everything again.
put_checkout_first(CHECKOUT)
asked = Asked.by(study)
if asked and workflow.is_main_process and (missing := asked.missing()):
    raise WorkflowError(advice(missing))
pass_on(asked)

# Snakemake's own lock outlives a kill and knows one working directory only; this one does neither.
# The profile switches Snakemake's off.
RUN_LOCK = FileLock(Path(study.run_lock))


include: "pipeline/rules/scheduler.smk"


# `--resources gpu=N` counts GPUs, Snakemake counts jobs. Whether there is a GPU the job finds out
# where it runs, which may be another host.
if (granted := workflow.global_resources.get("gpu").value) is not None and not SCHEDULED:
    workflow.register_resource("gpu", granted * study.config.jobs_per_gpu)
GPU = {
    "gpu": 0 if study.config.device == "cpu" else 1,
    "device": study.config.device,
    "jobs_per_gpu": study.config.jobs_per_gpu,
}
LEASE = (
    "python -m pipeline gpu-lease --device {resources.device}"
    " --jobs-per-gpu {resources.jobs_per_gpu} --gpus {resources.gpu} -- "
)
made_here = lambda path: workflow.persistence.metadata(IOFile(path)) is not None
kept = Kept(study, lambda: workflow.dag_settings, made_here)
FIGURE_FILES = figure_files(study)
IN_BUCKET = f" --stores {study.config.stores}" if study.config.stores else ""
SPECS = {name: f"@{path}" for name, path in study.shared_specs.items()}


wildcard_constraints:
    **WILDCARDS,
    split="|".join(SPLITS),
    of=OF_COMPARISON,
    stream="[0-9a-f]{16}",


include: "pipeline/rules/common.smk"
include: "pipeline/rules/assets.smk"
include: "pipeline/rules/activations.smk"
include: "pipeline/rules/cells.smk"
include: "pipeline/rules/dial.smk"
include: "pipeline/rules/probe.smk"
include: "pipeline/rules/browser.smk"
include: "pipeline/rules/tables.smk"
include: "pipeline/rules/figures.smk"
include: "pipeline/rules/hub.smk"
include: "pipeline/rules/synthetic.smk"
include: "pipeline/rules/verify.smk"


localrules:
    all,
    tables,
    figures,


rule all:
    default_target: True
    input:
        [study.metrics(cell) for cell in study.cells],
        rules.tables.input,
        rules.figures.input,
        rules.synthetic.input if study.config.synthetic.with_study else [],
        study.report,
        [study.browser_page] if browsed(study) else [],


onstart:
    try:
        RUN_LOCK.path.parent.mkdir(parents=True, exist_ok=True)
        RUN_LOCK.acquire(patience=1.0)  # a job may hold it while it asks whose it is
        study.write_shared_specs()
        write_browser_specs(study)
        register(Path(study.cache), Path(study.root))
        streams.write_specs()
        if SCHEDULED:
            adopt_finished()
    except (LockedError, OSError) as error:
        raise WorkflowError(explain(error, ["--out", str(study.root)]) or str(error)) from None
    name_run(RUN_LOCK)
    if granted and study.config.device == "auto" and not (SCHEDULED or visible_devices()):
        print(
            f"--resources gpu={granted}, and no GPU is visible on this host: jobs that run here "
            "compute on the CPU. `device: cuda` in the configuration makes them stop instead.",
            file=sys.stderr,
        )


onsuccess:
    shell("python -m pipeline summary --spec {SPECS[comparison]:q} --root {study.root:q}")


onerror:
    print(
        f"Finished work is kept. Read the message above or {study.path('logs')}, mend the cause, "
        "and run the same command again: it continues where this run stopped."
    )
