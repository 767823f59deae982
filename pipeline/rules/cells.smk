# One autoencoder per cell, on the grid or asked for by name.


rule cell:
    input:
        unpack(lambda wildcards: read_by_cells(study, study.cell_named(**wildcards).model)),
    output:
        metrics=study.metrics(),
        weights=study.cell_file(None, WEIGHTS),
        training=study.cell_file(None, TRAINING),
        latents=study.cell_file(None, LATENT_TENSORS),
    log:
        study.log("cells", *PATTERN.split("/")),
    threads: 1
    resources:
        **GPU,
        checkpoint_seconds=study.config.checkpoint_seconds,
    params:
        train=lambda wildcards: canonical(study.train_spec(study.cell_named(**wildcards))),
        evaluate=lambda wildcards: canonical(study.evaluate_spec(study.cell_named(**wildcards))),
    shell:
        LEASE + "python -m pipeline cell --train-spec {params.train:q}"
        " --evaluate-spec {params.evaluate:q} --train-manifest {input.train:q}"
        " --heldout-manifest {input.heldout:q} --baselines {input.baselines:q} --asset {input.asset:q}"
        " --checkpoint-seconds {resources.checkpoint_seconds} --device {resources.device} --out {output.metrics:q} 2>&1 | (tee {log:q} || true)"
