# What the jobs of a study leave, as a few files: all that the analysis reads.

from pipeline.study.measures import Measures
from pipeline.study.outputs import CURVE
from pipeline.study.study_config import LOOKS

MEASURES, OUT = f"{ROOT}/measures", ROOT
SCOPE, FORMATS = study.scope, study.run.formats
# Written when a run begins. As an ancient input it would hide from Snakemake that a measure changed.
SCOPE_FILE = study.shared_specs["scope"]
PAGE = ["browser/index.html"] if study.config.browser else []
KNOWN = Measures(MEASURES, SCOPE)


MEASURED = {
    "cells.jsonl": lambda wildcards: list(map(study.metrics, study.cells)),
    **{f"{kind}.jsonl": jobs_of(kind) for kind, section in LOOKS.items() if section.RUN},
    "synthetic.jsonl": lambda wildcards: [
        f"{ROOT}/synthetic/runs/{name}.json" for name in SCOPE.jobs("synthetic")
    ],
    "curves.parquet": lambda wildcards: [study.cell_file(cell, CURVE) for cell in SCOPE.drawn],
}


rule scope:
    input:
        unpack(lambda wildcards: inputs.scope()),
    output:
        f"{MEASURES}/study.json",
    log:
        f"{ROOT}/logs/scope.log",
    localrule: True
    params:
        file=SCOPE_FILE,
    shell:
        "cp {params.file:q} {output:q} 2> {log:q}"


rule measures:
    input:
        unpack(
            lambda wildcards: inputs.measures(
                wildcards.measures, MEASURED[wildcards.measures](wildcards)
            )
        ),
    output:
        f"{MEASURES}/{{measures}}",
    log:
        f"{ROOT}/logs/{{measures}}.log",
    wildcard_constraints:
        measures="|".join(MEASURED),
    localrule: True
    params:
        study=setting(SCOPE_FILE),  # what counts of it is in the digest
        root=lambda wildcards: ROOT,
        of=lambda wildcards: SCOPE.digest,
    shell:
        "python -m pipeline measures --study {params.study:q} --root {params.root:q} --out {output:q} --log {log:q}"
