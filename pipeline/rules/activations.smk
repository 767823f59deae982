# One pass of each language model over each split; then the model's own losses, once.


rule dump:
    input:
        asset=study.asset(),
        tokens=study.tokens(),
        calibration=study.tokens(split="train"),
    output:
        study.manifest(),
    log:
        study.log("dump", "{model}-{split}"),
    threads: lambda wildcards: 1 if study.dump_spec(wildcards.model, wildcards.split).is_short else 16
    resources:
        **GPU,
        **asked("dump"),
    params:
        spec=lambda wildcards: canonical(study.dump_spec(wildcards.model, wildcards.split)),
        cache=lambda wildcards: study.cache,
    shell:
        LEASE + "python -m pipeline dump --spec {params.spec:q} --asset {input.asset:q}"
        " --tokens {input.tokens:q} --calibration-tokens {input.calibration:q} --cache {params.cache:q}"
        + IN_BUCKET
        + " --device {resources.device} --out {output:q}"
        " 2>&1 | (tee {log:q} || true)"


rule baselines:
    input:
        asset=study.asset(),
        tokens=study.tokens(split="heldout"),
        train=study.manifest(split="train"),
        heldout=study.manifest(split="heldout"),
    output:
        study.baselines(),
    log:
        study.log("baselines", "{model}"),
    threads: 16
    resources:
        **GPU,
        **asked("baselines"),
    params:
        spec=lambda wildcards: canonical(study.baseline_spec(wildcards.model)),
        cache=lambda wildcards: study.cache,
    shell:
        LEASE + "python -m pipeline baselines --spec {params.spec:q} --asset {input.asset:q}"
        " --tokens {input.tokens:q} --train-manifest {input.train:q} --heldout-manifest {input.heldout:q}"
        " --cache {params.cache:q} --device {resources.device} --out {output:q} 2>&1 | (tee {log:q} || true)"
