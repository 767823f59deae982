# What leaves a study for other tools: cells for SAELens, a folder for the Hugging Face hub.

from pipeline.study.hub import read_by_hub


rule saelens:
    input:
        weights=at("cells", NAME, "sae.safetensors"),
        asset=ancient(ASSET),
        documents=ancient(DOCUMENTS),
    output:
        config=at("saelens", NAME, "cfg.json"),
        weights=at("saelens", NAME, "sae_weights.safetensors"),
    log:
        at("logs", "saelens", f"{NAME}.log"),
    localrule: True
    params:
        spec=lambda wildcards: canonical(study.export_spec(asked_cell(wildcards))),
    shell:
        "python -m pipeline export --spec {params.spec:q} --weights {input.weights:q}"
        " --asset {input.asset:q} --documents {input.documents:q} --out {output.config:q} --log {log:q}"


rule hub_folder:
    input:
        unpack(lambda wildcards: read_by_hub(study)),
    output:
        at("hub/README.md"),
    log:
        at("logs/hub.log"),
    localrule: True
    params:
        config=SPECS["configuration"],
        figure=lambda wildcards, input: input.get("figure", []),
    shell:
        "python -m pipeline hub-folder --config {params.config:q} --figure {params.figure:q}"
        " --out {output:q} --log {log:q}"
