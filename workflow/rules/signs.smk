# Consistency over seeds, opposite pairs and poles, where section signs asks.

from pipeline.study.inputs import read_by_look

signs_spec = lambda wildcards: study.look_spec(study.signs_run(**wildcards))


rule signs_run:
    input:
        unpack(
            lambda wildcards: read_by_look(
                study, study.signs_run(**wildcards), signs_spec(wildcards)
            )
        ),
    output:
        study.signs_run(),
    log:
        study.log("signs", "{model}", "{place}"),
    priority: 1  # as of steering: what it found stays when the run is stopped
    resources:
        **GPU,
        **requests.of("signs_run"),
    params:
        **DEVICE,
        spec=lambda wildcards: study.shared_spec("signs", digest(signs_spec(wildcards))),
        cells_root=lambda wildcards: study.cells_root,
    shell:
        LEASE
        + "python -m pipeline signs --spec @{params.spec:q} --cells-root {params.cells_root:q}"
        " --heldout-manifest {input.heldout:q} --device {params.device:q} --out {output:q}"
        " --log {log:q}"
