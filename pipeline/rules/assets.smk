# Models and text: fetched, checked against their digests, made ready once.

ASSET = ROOT + "/assets/{model}/asset.json"
DOCUMENTS = ROOT + "/assets/text/documents.json"
TOKENS = ROOT + "/tokens/{model}-{split}.json"


rule asset:
    output:
        ASSET,
    log:
        ROOT + "/logs/assets/{model}.log",
    localrule: True
    params:
        spec=lambda wildcards: canonical(study.asset_spec(wildcards.model)),
        cache=lambda wildcards: CACHE,
    shell:
        "python -m pipeline fetch --spec {params.spec:q} --cache {params.cache:q} --out {output:q} --log {log:q}"


rule documents:
    output:
        DOCUMENTS,
    log:
        ROOT + "/logs/assets/text.log",
    localrule: True
    params:
        spec=lambda wildcards: canonical(study.text_spec()),
        cache=lambda wildcards: CACHE,
    shell:
        "python -m pipeline fetch --spec {params.spec:q} --cache {params.cache:q} --out {output:q} --log {log:q}"


rule tokens:
    input:
        asset=ASSET,
        documents=DOCUMENTS,
    output:
        TOKENS,
    log:
        ROOT + "/logs/tokens/{model}-{split}.log",
    resources:
        **requests.of("tokens"),
    params:
        spec=lambda wildcards: canonical(study.token_spec(wildcards.model, wildcards.split)),
        cache=lambda wildcards: CACHE,
    shell:
        "python -m pipeline tokenise --spec {params.spec:q} --asset {input.asset:q}"
        " --documents {input.documents:q} --cache {params.cache:q} --out {output:q} --log {log:q}"
