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
    threads: 16
    resources:
        **GPU,
    params:
        spec=lambda wildcards: canonical(study.dump_spec(wildcards.model, wildcards.split)),
        acts_root=lambda wildcards: study.acts_root,
    shell:
        LEASE + "python -m pipeline.dump --spec {params.spec:q} --asset {input.asset}"
        " --tokens {input.tokens} --calibration-tokens {input.calibration}"
        " --acts-root {params.acts_root} --device {resources.device} --out {output}"
        " 2>&1 | tee {log}"


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
    params:
        spec=lambda wildcards: canonical(study.baseline_spec(wildcards.model)),
    shell:
        LEASE + "python -m pipeline.baselines --spec {params.spec:q} --asset {input.asset}"
        " --tokens {input.tokens} --train-manifest {input.train} --heldout-manifest {input.heldout}"
        " --device {resources.device} --out {output} 2>&1 | tee {log}"
