# Models and text: fetched, checked against their digests, made ready once.

ASSET = at("assets/{model}/asset.json")
DOCUMENTS = at("assets/text/documents.json")
TOKENS = at("tokens/{model}-{split}.json")


rule asset:
    input:
        unpack(lambda wildcards: inputs.asset(wildcards.model)),
    output:
        ASSET,
    log:
        at("logs/assets/{model}.log"),
    localrule: True
    params:
        spec=lambda wildcards: canonical(study.asset_spec(wildcards.model)),
        source=lambda wildcards, input: canonical(study.model_named(wildcards.model).source),
        cache=lambda wildcards: CACHE,
    shell:
        "python -m pipeline fetch --spec {params.spec:q} --source {params.source:q} --cache {params.cache:q}"
        " --out {output:q} --log {log:q}"


rule documents:
    input:
        unpack(lambda wildcards: inputs.documents()),
    output:
        DOCUMENTS,
    log:
        at("logs/assets/text.log"),
    localrule: True
    params:
        spec=lambda wildcards: canonical(study.text_spec()),
        source=setting(SPECS["text"]),
        cache=lambda wildcards: CACHE,
    shell:
        "python -m pipeline fetch --spec {params.spec:q} --source {params.source:q} --cache {params.cache:q}"
        " --out {output:q} --log {log:q}"


rule tokens:
    input:
        unpack(lambda wildcards: inputs.tokens(**wildcards)),
    output:
        TOKENS,
    log:
        at("logs/tokens/{model}-{split}.log"),
    resources:
        **requests.of("tokens"),
    params:
        spec=lambda wildcards: canonical(study.token_spec(wildcards.model, wildcards.split)),
        cache=lambda wildcards: CACHE,
    shell:
        "python -m pipeline tokenise --spec {params.spec:q} --asset {input.asset:q}"
        " --documents {input.documents:q} --cache {params.cache:q} --out {output:q} --log {log:q}"
