# Protocols on data whose features are known. No language model.

from pipeline.study.synthetic import PROTOCOLS


rule synthetic_run:
    output:
        study.synthetic_run(),
    log:
        study.log("synthetic", "{protocol}_seed{seed}"),
    wildcard_constraints:
        protocol="|".join(PROTOCOLS),
        seed="[0-9]+",
    threads: 1
    resources:
        **requests.of("synthetic_run"),
    params:
        spec=lambda wildcards: canonical(
            study.synthetic_spec(wildcards.protocol, int(wildcards.seed))
        ),
    shell:
        "python -m pipeline synthetic-run --spec {params.spec:q} --out {output:q} --log {log:q}"
