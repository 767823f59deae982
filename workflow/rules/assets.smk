# Models and text: fetched, checked against their digests, made ready once.

from pipeline.study.inputs import read_by_none, read_by_tokens
from pipeline.study.made_for import made_from

ASSET = at("assets/{model}/asset.json")
DOCUMENTS = at("assets/text/documents.json")
TOKENS = at("tokens/{model}-{split}.json")


rule asset:
    input:
        unpack(
            lambda wildcards: read_by_none(
                ASSET.format(**wildcards), study.asset_made_for(**wildcards)
            )
        ),
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
        unpack(lambda wildcards: read_by_none(DOCUMENTS, made_from(study.text_spec()))),
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
        unpack(lambda wildcards: read_by_tokens(study, **wildcards)),
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
