# One autoencoder per cell, on the grid or asked for by name.


rule nothing:
    localrule: True


NAME = "{model}/{hookpoint}/{variant}/w{width}_{knob}_seed{seed}"
asked_cell = lambda wildcards: study.cell_named(NAME.format(**wildcards))


rule cell:
    input:
        unpack(lambda wildcards: inputs.cell(asked_cell(wildcards))),
    output:
        metrics=at("cells", NAME, "metrics.json"),
        weights=at("cells", NAME, "sae.safetensors"),
        training=at("cells", NAME, "training.json"),
        curve=at("cells", NAME, "curve.parquet"),
        latents=at("cells", NAME, "latents.safetensors"),
    log:
        at("logs", "cells", f"{NAME}.log"),
    threads: 1
    resources:
        **GPU,
        **requests.of("cell"),
    params:
        **DEVICE,
        checkpoint_seconds=setting(study.run.checkpoint_seconds),
        train=lambda wildcards: canonical(study.train_spec(asked_cell(wildcards))),
        evaluate=lambda wildcards: canonical(study.evaluate_spec(asked_cell(wildcards))),
        language=lambda wildcards, input: [
            word
            for name in ("baselines", "asset")
            if name in input.keys()
            for word in (f"--{name}", input[name])
        ],
    shell:
        LEASE + "python -m pipeline cell --train-spec {params.train:q}"
        " --evaluate-spec {params.evaluate:q} --train-manifest {input.train:q}"
        " --heldout-manifest {input.heldout:q} {params.language:q}"
        " --checkpoint-seconds {params.checkpoint_seconds:q} --device {params.device:q}"
        " --out {output.metrics:q} --log {log:q}"
