# Steering with single latents, with opposite pairs and along random directions, where section dial asks.

from pipeline.jobs.json_files import digest
from pipeline.study.inputs import read_by_look
from pipeline.study.outputs import DIAL_TABLES

dial_spec = lambda wildcards: study.dial_spec(study.dial_run(**wildcards))


wildcard_constraints:
    of="(?:_comparison[0-9]+)?",


rule dial:
    input:
        dial_runs,
        [study.table(name) for name in DIAL_TABLES],
        [
            study.figure(name, end)
            for name in filter(shows_dial, study.figures)
            for end in FIGURE_FILES
        ],
    localrule: True


rule dial_run:
    input:
        unpack(lambda wildcards: read_by_look(study, dial_spec(wildcards))),
    output:
        study.dial_run(),
    log:
        study.log("dial", "{model}", "{place}_seed{seed}{of}"),
    priority: 1  # before cells of other sweeps: what it found stays when the run is stopped
    threads: 16
    resources:
        **GPU,
        **requests.of("dial_run"),
    params:
        spec=lambda wildcards: study.shared_spec("dial", digest(dial_spec(wildcards))),
        cells_root=lambda wildcards: study.cells_root,
    shell:
        LEASE
        + "python -m pipeline dial --spec @{params.spec:q} --cells-root {params.cells_root:q}"
        " --heldout-manifest {input.heldout:q} --baselines {input.baselines:q} --asset {input.asset:q}"
        " --device {resources.device} --out {output:q} --log {log:q}"


rule dial_tables:
    input:
        dial_runs,
    output:
        csv=in_report(study.table(DIAL_TABLES[0]), "Tables", "table.rst"),
        others=[in_report(study.table(name), "Tables", "table.rst") for name in DIAL_TABLES[1:]],
    log:
        study.log("dial", "tables"),
    localrule: True
    params:
        spec=SPECS["comparison"],
    shell:
        "python -m pipeline dial-tables --spec {params.spec:q} --runs {input:q} --out {output.csv:q} --log {log:q}"
