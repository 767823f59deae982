# What leaves a study for other tools: cells for SAELens, a folder for the Hugging Face hub.


rule saelens:
    input:
        weights=study.cell_file(None, WEIGHTS),
        asset=ancient(study.asset()),
        documents=ancient(study.documents),
    output:
        config=study.saelens_files()[0],
        weights=study.saelens_files()[1],
    log:
        study.log(SAELENS, PATTERN),
    localrule: True
    params:
        spec=lambda wildcards: canonical(export_spec(study, study.cell_named(**wildcards))),
    shell:
        "python -m pipeline export --spec {params.spec:q} --weights {input.weights:q}"
        " --asset {input.asset:q} --documents {input.documents:q} --out {output.config:q}"
        " 2>&1 | (tee {log:q} || true)"


rule hub_folder:
    input:
        unpack(lambda wildcards: read_by_hub(study)),
    output:
        study.hub_card,
    log:
        study.log(HUB),
    localrule: True
    params:
        config=SPECS["configuration"],
        figure=lambda wildcards, input: input.get("figure", []),
    shell:
        "python -m pipeline hub-folder --config {params.config:q} --figure {params.figure:q}"
        " --out {output:q} 2>&1 | (tee {log:q} || true)"
