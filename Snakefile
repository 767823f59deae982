# What can be asked for. Configuration: --configfile=FILE, else config/config.yaml, else the local study's.
# How a study runs (device, cache, ...): --config device=cpu, see pipeline/study/run_settings.py.
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")
CHECKOUT = Path(workflow.basedir)
CHECKOUT = CHECKOUT.parent if CHECKOUT.name == "workflow" else CHECKOUT  # workflow/Snakefile
sys.path.insert(0, str(CHECKOUT))  # whatever --directory says

from pipeline.jobs.json_files import canonical
from pipeline.jobs.stage import put_checkout_first, relax_gc
from pipeline.tools import planning
from pipeline.study.cell import WILDCARDS

put_checkout_first(CHECKOUT)
relax_gc()  # a plan is millions of objects
study = planning.study_of(config, workflow.configfiles)
ROOT, at = str(study.root), study.path  # at("x") is results/<study>/x
CACHE = study.cache
SPECS = {name: f"@{path}" for name, path in study.shared_specs.items()}
requests = planning.Requests(study)  # time and memory of each rule's jobs
GPU = {
    "gpu": planning.gpus_of_a_job(study, lambda: workflow.cores)
}  # `--resources gpu=N` counts jobs that have one
LEASE = (
    "python -m pipeline gpu-lease --device {params.device:q}"
    " --jobs-per-gpu {params.jobs_per_gpu:q} --gpus {resources.gpu} -- "
)


wildcard_constraints:
    **WILDCARDS,
    split="train|heldout",


include: "workflow/rules/common.smk"
include: "workflow/rules/configuration.smk"
include: "workflow/rules/assets.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/cells.smk"
include: "workflow/rules/measures.smk"
include: "workflow/rules/looks.smk"
include: "workflow/rules/synthetic.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/hub.smk"
include: "workflow/rules/verify.smk"


rule all:
    default_target: True
    input:
        study.records,
        [study.metrics(cell) for cell in study.cells],
        [study.look_file(kind, look) for kind in LOOKS for look in study.looks[kind]],
        [f"{MEASURES}/{name}" for name in KNOWN.files],
        rules.tables.input,
        rules.figures.input,
        rules.synthetic.input if study.config.synthetic.with_study else [],
        study.report,
        rules.browser.input if study.config.browser else [],
    localrule: True


onstart:
    # Snakemake's own lock outlives a kill and knows one working directory only; that of begin_run
    # does neither. The profile switches Snakemake's off.
    planning.begin_run(study)


onsuccess:
    for made in (at("tables"), at("figures"), study.report):
        if Path(made).exists():
            print(f"result: {made}")


onerror:
    planning.after_failure(study, log, lambda: workflow.cores)
    print(
        f"Finished work is kept. Read the message above or {ROOT}/logs, mend the cause, "
        "and run the same command again: it continues where this run stopped."
    )
