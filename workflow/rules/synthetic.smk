# Protocols on data whose features are known. No language model.

from pipeline.study.synthetic import PROTOCOLS

synthetic_spec = lambda wildcards: study.synthetic_spec(wildcards.protocol, int(wildcards.seed))


rule synthetic_run:
    input:
        unpack(lambda wildcards: inputs.synthetic(wildcards.protocol, int(wildcards.seed))),
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
        spec=lambda wildcards: canonical(synthetic_spec(wildcards)),
    shell:
        "python -m pipeline synthetic-run --spec {params.spec:q} --out {output:q} --log {log:q}"
