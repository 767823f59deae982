# Models and text: fetched, checked against their digests, made ready once.


rule asset:
    output:
        study.asset(),
    log:
        study.log("assets", "{model}"),
    localrule: True
    params:
        spec=lambda wildcards: canonical(study.asset_spec(wildcards.model)),
        cache=lambda wildcards: study.cache,
    shell:
        "python -m pipeline fetch --spec {params.spec:q} --cache {params.cache:q} --out {output:q} 2>&1 | (tee {log:q} || true)"


rule documents:
    output:
        study.documents,
    log:
        study.log("assets", "text"),
    localrule: True
    params:
        spec=lambda wildcards: canonical(study.text_spec()),
        cache=lambda wildcards: study.cache,
    shell:
        "python -m pipeline fetch --spec {params.spec:q} --cache {params.cache:q} --out {output:q} 2>&1 | (tee {log:q} || true)"


rule tokens:
    input:
        asset=study.asset(),
        documents=study.documents,
    output:
        study.tokens(),
    log:
        study.log("tokens", "{model}-{split}"),
    resources:
        **asked("tokens"),
    params:
        spec=lambda wildcards: canonical(study.token_spec(wildcards.model, wildcards.split)),
        cache=lambda wildcards: study.cache,
    shell:
        "python -m pipeline tokenise --spec {params.spec:q} --asset {input.asset:q}"
        " --documents {input.documents:q} --cache {params.cache:q} --out {output:q} 2>&1 | (tee {log:q} || true)"
