# Steering with single latents, with opposite pairs and along random directions, where section dial asks.

from pipeline.jobs.json_files import digest
from pipeline.study.inputs import read_by_look

dial_spec = lambda wildcards: study.look_spec(study.dial_run(**wildcards))


wildcard_constraints:
    of="(?:_comparison[0-9]+)?",


rule dial_run:
    input:
        unpack(
            lambda wildcards: read_by_look(
                study, study.dial_run(**wildcards), dial_spec(wildcards)
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
        **requests.of("dial_run"),
    params:
        **DEVICE,
        spec=lambda wildcards: study.shared_spec("dial", digest(dial_spec(wildcards))),
        cells_root=lambda wildcards: study.cells_root,
    shell:
        LEASE
        + "python -m pipeline dial --spec @{params.spec:q} --cells-root {params.cells_root:q}"
        " --heldout-manifest {input.heldout:q} --baselines {input.baselines:q} --asset {input.asset:q}"
        " --device {params.device:q} --out {output:q} --log {log:q}"
