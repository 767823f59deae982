# One autoencoder per cell, on the grid or asked for by name.


def named(wildcards):
    try:
        return study.cell_named(**dict(wildcards))
    except CellNameError as error:
        raise WorkflowError(str(error)) from None


rule cell:
    input:
        train=lambda wildcards: ancient(study.manifest(named(wildcards).model, "train")),
        heldout=lambda wildcards: ancient(study.manifest(named(wildcards).model, "heldout")),
        baselines=lambda wildcards: ancient(study.baselines(named(wildcards).model)),
        asset=lambda wildcards: ancient(study.asset(named(wildcards).model)),
    output:
        metrics=study.metrics(),
        weights=study.cell_file(None, "sae.safetensors"),
        training=study.cell_file(None, "training.json"),
        latents=study.cell_file(None, "latents.safetensors"),
    params:
        train=lambda wildcards: canonical(study.train_spec(named(wildcards))),
        evaluate=lambda wildcards: canonical(study.evaluate_spec(named(wildcards))),
    log:
        study.log("cells", *PATTERN.split("/")),
    threads: 1
    resources:
        gpu=GPU_DEMAND,
    shell:
        LEASE + " {PYTHON} -m pipeline.run_cell --train-spec {params.train:q}"
        " --evaluate-spec {params.evaluate:q} --train-manifest {input.train}"
        " --heldout-manifest {input.heldout} --baselines {input.baselines} --asset {input.asset}"
        " --device {study.config.device} --out {output.metrics} 2>&1 | tee {log}"
