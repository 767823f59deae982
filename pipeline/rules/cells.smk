# One autoencoder per cell, on the grid or asked for by name.


rule train_together:
    input:
        lambda wildcards: read_by_cells(study, wildcards.model)["train"],
    output:
        study.cell_file(None, f"{STATE}/{TOGETHER}"),
    log:
        study.log("cells", PATTERN, "together-{stream}"),
    threads: 1
    resources:
        **GPU,
        **asked("train_together"),
        checkpoint_seconds=study.config.checkpoint_seconds,
    params:
        spec=lambda wildcards: study.shared_spec("stream", wildcards.stream),
        cells_root=lambda wildcards: study.cells_root,
    shell:
        LEASE + "python -m pipeline train-together --spec @{params.spec:q}"
        " --cells-root {params.cells_root:q} --train-manifest {input:q}"
        " --checkpoint-seconds {resources.checkpoint_seconds} --device {resources.device}"
        " --out {output:q} 2>&1 | (tee {log:q} || true)"


rule cell:
    input:
        unpack(lambda wildcards: inputs_of(study.cell_named(**wildcards))),
    output:
        metrics=study.metrics(),
        weights=study.cell_file(None, WEIGHTS),
        training=study.cell_file(None, TRAINING),
        curve=study.cell_file(None, CURVE),
        latents=study.cell_file(None, LATENT_TENSORS),
    log:
        study.log("cells", PATTERN),
    threads: 1
    resources:
        **GPU,
        **asked("cell"),
        checkpoint_seconds=study.config.checkpoint_seconds,
    params:
        train=lambda wildcards: canonical(study.train_spec(study.cell_named(**wildcards))),
        evaluate=lambda wildcards: canonical(study.evaluate_spec(study.cell_named(**wildcards))),
    shell:
        LEASE + "python -m pipeline cell --train-spec {params.train:q}"
        " --evaluate-spec {params.evaluate:q} --train-manifest {input.train:q}"
        " --heldout-manifest {input.heldout:q} --baselines {input.baselines:q} --asset {input.asset:q}"
        " --checkpoint-seconds {resources.checkpoint_seconds} --device {resources.device} --out {output.metrics:q} 2>&1 | (tee {log:q} || true)"
