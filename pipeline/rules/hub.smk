# What leaves a study for other tools: cells for SAELens, a folder for the Hugging Face hub.

from pipeline.study.exported import export_spec, read_by_hub

SAELENS = ROOT + "/saelens/{model}/{hookpoint}/{variant}/w{width}_{knob}_seed{seed}"


rule saelens:
    input:
        weights=CELL + "/sae.safetensors",
        asset=ancient(ASSET),
        documents=ancient(DOCUMENTS),
    output:
        config=SAELENS + "/cfg.json",
        weights=SAELENS + "/sae_weights.safetensors",
    log:
        SAELENS.replace("/saelens/", "/logs/saelens/") + ".log",
    localrule: True
    params:
        spec=lambda wildcards: canonical(export_spec(study, study.cell_named(**wildcards))),
    shell:
        "python -m pipeline export --spec {params.spec:q} --weights {input.weights:q}"
        " --asset {input.asset:q} --documents {input.documents:q} --out {output.config:q} --log {log:q}"


rule hub_folder:
    input:
        unpack(lambda wildcards: read_by_hub(study)),
    output:
        ROOT + "/hub/README.md",
    log:
        ROOT + "/logs/hub.log",
    localrule: True
    params:
        config=SPECS["configuration"],
        figure=lambda wildcards, input: input.get("figure", []),
    shell:
        "python -m pipeline hub-folder --config {params.config:q} --figure {params.figure:q}"
        " --out {output:q} --log {log:q}"
