# Models and text: fetched, checked against their digests, made ready once.

from pipeline.study.study_config import text_sources
from pipeline.study.sources import terms_of

ASSET = at("assets/{model}/asset.json")
DOCUMENTS = at("assets/text/documents.json")
TOKENS = at("tokens/{model}-{split}.json")


rule asset:
    output:
        ASSET,
    log:
        at("logs/assets/{model}.log"),
    localrule: True
    resources:
        terms=lambda wildcards: terms_of([study.model_named(wildcards.model).source]),
    params:
        spec=lambda wildcards: canonical(study.asset_spec(wildcards.model)),
        cache=lambda wildcards: CACHE,
    shell:
        "python -m pipeline fetch --spec {params.spec:q} --cache {params.cache:q} --terms={resources.terms:q}"
        " --out {output:q} --log {log:q}"


rule documents:
    output:
        DOCUMENTS,
    log:
        at("logs/assets/text.log"),
    localrule: True
    resources:
        terms=lambda wildcards: terms_of(text_sources(study.config.text).values()),
    params:
        spec=lambda wildcards: canonical(study.text_spec()),
        cache=lambda wildcards: CACHE,
    shell:
        "python -m pipeline fetch --spec {params.spec:q} --cache {params.cache:q} --terms={resources.terms:q}"
        " --out {output:q} --log {log:q}"


rule tokens:
    input:
        asset=ASSET,
        documents=DOCUMENTS,
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
