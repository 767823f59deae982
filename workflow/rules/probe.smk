# Sparse probing of codes and feature absorption, where section probe asks.

from pipeline.study.inputs import read_by_look

probe_spec = lambda wildcards: study.look_spec(study.probe_run(**wildcards))


rule probe_run:
    input:
        unpack(
            lambda wildcards: read_by_look(
                study, study.probe_run(**wildcards), probe_spec(wildcards)
            )
        ),
    output:
        study.probe_run(),
    log:
        study.log("probe", "{model}", "{place}_seed{seed}"),
    priority: 1  # as of steering: what it found stays when the run is stopped
    resources:
        **GPU,
        **requests.of("probe_run"),
    params:
        **DEVICE,
        spec=lambda wildcards: study.shared_spec("probe", digest(probe_spec(wildcards))),
        cells_root=lambda wildcards: study.cells_root,
    shell:
        LEASE
        + "python -m pipeline probe --spec @{params.spec:q} --cells-root {params.cells_root:q}"
        " --heldout-manifest {input.heldout:q} --tokens {input.tokens:q} --asset {input.asset:q}"
        " --device {params.device:q} --out {output:q} --log {log:q}"
