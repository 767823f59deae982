# Steering with single latents, with opposite pairs and along random directions, where section dial asks.


def steered_with(path):
    """What the job that makes a file reads: cells with their weights, and what they were measured by."""
    spec = study.dial_spec(path)
    read = read_by_cells(study, spec.model)
    return {
        "metrics": [study.metrics(cell) for cell in spec.candidate + spec.baseline],
        "weights": [study.cell_file(cell, WEIGHTS) for cell in spec.may_steer],
        **{name: read[name] for name in ("heldout", "baselines", "asset")},
    }


def dial_runs(wildcards):
    """What all jobs of the dial make."""
    if not study.dials:
        raise WorkflowError(
            "this study steers with no latents: see section `dial` in config/README.md"
        )
    return list(study.dials)


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
        unpack(lambda wildcards: steered_with(study.dial_run(**wildcards))),
    output:
        study.dial_run(),
    log:
        study.log("dial", "{model}", "{place}_seed{seed}"),
    threads: 16
    resources:
        **GPU,
    params:
        spec=lambda wildcards: study.shared_spec(
            "dial", digest(study.dial_spec(study.dial_run(**wildcards)))
        ),
        cells_root=lambda wildcards: study.cells_root,
    shell:
        LEASE + "python -m pipeline dial --spec @{params.spec:q} --cells-root {params.cells_root:q}"
        " --heldout-manifest {input.heldout:q} --baselines {input.baselines:q} --asset {input.asset:q}"
        " --device {resources.device} --out {output:q} 2>&1 | (tee {log:q} || true)"


rule dial_tables:
    input:
        dial_runs,
    output:
        [in_report(study.table(name), "Tables", "table.rst") for name in DIAL_TABLES],
    log:
        study.log("dial", "tables"),
    params:
        spec=SPECS["comparison"],
        out=study.table(DIAL),
    shell:
        "python -m pipeline dial-tables --spec {params.spec:q} --runs {input:q} --out {params.out:q}"
        " 2>&1 | (tee {log:q} || true)"
