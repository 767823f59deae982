# One pass of each language model over each split, or rows that are drawn; then the model's own
# losses, once.

MANIFEST = at("manifests/{model}-{split}.json")
BASELINES = at("baselines/{model}.json")
# Models whose rows are drawn, and whom they are like.
LIKE = {name: model.like for name, model in study.models.items() if model.like}
# Models whose rows have known features.
DRAWN = [name for name, model in study.models.items() if model.drawn]


rule dump:
    input:
        unpack(lambda wildcards: inputs.dump(**wildcards)),
    output:
        MANIFEST,
    log:
        at("logs/dump/{model}-{split}.log"),
    threads:
        lambda wildcards: requests.threads(
            study.dump_spec(**wildcards).rows // study.config.dump.rows_per_block, 4
        )
    resources:
        **GPU,
        **requests.of("dump"),
    params:
        **DEVICE,
        spec=lambda wildcards: canonical(study.dump_spec(wildcards.model, wildcards.split)),
        profile=setting(study.config.dump.profile),
        sharded=setting(int(study.config.dump.sharded)),
        cache=lambda wildcards: CACHE,
        stores=lambda wildcards: study.run.stores,
    shell:
        LEASE
        + "python -m pipeline dump --spec {params.spec:q} --asset {input.asset:q} --tokens {input.tokens:q}"
        " --calibration-tokens {input.calibration:q} --cache {params.cache:q}"
        " --stores={params.stores:q} --profile {params.profile:q} --sharded {params.sharded:q} --device {params.device:q} --out {output:q} --log {log:q}"


rule gaussian_rows:
    input:
        unpack(lambda wildcards: inputs.dump(**wildcards)),
    output:
        MANIFEST,
    log:
        at("logs/dump/{model}-{split}.log"),
    wildcard_constraints:
        model="|".join(LIKE) or "(?!)",
    resources:
        **requests.of("dump"),
    params:
        spec=lambda wildcards: canonical(study.dump_spec(wildcards.model, wildcards.split)),
        cache=lambda wildcards: CACHE,
        stores=lambda wildcards: study.run.stores,
    shell:
        "python -m pipeline gaussian-rows --spec {params.spec:q} --train-manifest {input.train:q}"
        " --manifest {input.real:q} --cache {params.cache:q} --stores={params.stores:q}"
        " --out {output:q} --log {log:q}"


rule feature_rows:
    input:
        unpack(lambda wildcards: inputs.dump(**wildcards)),
    output:
        MANIFEST,
    log:
        at("logs/dump/{model}-{split}.log"),
    wildcard_constraints:
        model="|".join(DRAWN) or "(?!)",
    resources:
        **requests.of("dump"),
    params:
        spec=lambda wildcards: canonical(study.dump_spec(wildcards.model, wildcards.split)),
        cache=lambda wildcards: CACHE,
        stores=lambda wildcards: study.run.stores,
    shell:
        "python -m pipeline feature-rows --spec {params.spec:q} --cache {params.cache:q}"
        " --stores={params.stores:q} --out {output:q} --log {log:q}"


ruleorder: feature_rows > gaussian_rows > dump


rule baselines:
    input:
        unpack(lambda wildcards: inputs.baselines(**wildcards)),
    output:
        BASELINES,
    log:
        at("logs/baselines/{model}.log"),
    threads: requests.threads(study.config.evaluation.lr_contexts, 8)
    resources:
        **GPU,
        **requests.of("baselines"),
    params:
        **DEVICE,
        spec=lambda wildcards: canonical(study.baseline_spec(wildcards.model)),
        cache=lambda wildcards: CACHE,
    shell:
        LEASE + "python -m pipeline baselines --spec {params.spec:q} --asset {input.asset:q}"
        " --tokens {input.tokens:q} --train-manifest {input.train:q} --heldout-manifest {input.heldout:q}"
        " --cache {params.cache:q} --device {params.device:q} --out {output:q} --log {log:q}"
