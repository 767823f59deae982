# Steering with single latents, with opposite pairs and along random directions, where section dial asks.


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
        unpack(
            lambda wildcards: read_by_dial(
                study, study.dial_run(**wildcards), workflow.dag_settings, made_here
            )
        ),
    output:
        study.dial_run(),
    log:
        study.log("dial", "{model}", "{place}_seed{seed}{of}"),
    priority: 1  # before cells of other sweeps: what it found stays when the run is stopped
    threads: 16
    resources:
        **GPU,
        **asked("dial_run"),
    params:
        spec=lambda wildcards: study.shared_spec(
            "dial", digest(study.dial_spec(study.dial_run(**wildcards)))
        ),
        cells_root=lambda wildcards: study.cells_root,
    shell:
        LEASE
        + "python -m pipeline dial --spec @{params.spec:q} --cells-root {params.cells_root:q}"
        " --heldout-manifest {input.heldout:q} --baselines {input.baselines:q} --asset {input.asset:q}"
        " --device {resources.device} --out {output:q} 2>&1 | (tee {log:q} || true)"


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
        "python -m pipeline dial-tables --spec {params.spec:q} --runs {input:q} --out {output.csv:q}"
        " 2>&1 | (tee {log:q} || true)"
