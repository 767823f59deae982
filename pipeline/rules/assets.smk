# Models and text: fetched, checked against their digests, made ready once.


rule asset:
    output:
        study.asset(),
    params:
        spec=lambda wildcards: canonical(study.asset_spec(wildcards.model)),
    log:
        study.log("assets", "{model}"),
    shell:
        "{PYTHON} -m pipeline.assets --spec {params.spec:q} --out {output} 2>&1 | tee {log}"


rule documents:
    output:
        study.documents,
    params:
        spec=canonical(study.text_spec()),
    log:
        study.log("assets", "text"),
    shell:
        "{PYTHON} -m pipeline.assets --spec {params.spec:q} --out {output} 2>&1 | tee {log}"


rule tokens:
    input:
        asset=ancient(study.asset()),
        documents=ancient(study.documents),
    output:
        study.tokens(),
    params:
        spec=lambda wildcards: canonical(study.token_spec(wildcards.model, wildcards.split)),
    log:
        study.log("tokens", "{model}-{split}"),
    shell:
        "{PYTHON} -m pipeline.tokenise --spec {params.spec:q} --asset {input.asset}"
        " --documents {input.documents} --out {output} 2>&1 | tee {log}"
