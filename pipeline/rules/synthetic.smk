# Protocols on data whose features are known, and the figures that show them. No language model.

from pipeline.config.synthetic import PROTOCOLS
from pipeline.study.figures import FIGURE_PROTOCOLS

SYNTHETIC = study.config.synthetic
RUNS = {name: [study.synthetic_run(name, seed) for seed in SYNTHETIC.seeds] for name in PROTOCOLS}


rule synthetic:
    input:
        study.synthetic_table("summary"),
        [study.figure(name) for name in SYNTHETIC_FIGURES],
        list(converted_synthetic(study)),
    localrule: True


rule synthetic_run:
    output:
        study.synthetic_run(),
    log:
        study.log("synthetic", "{protocol}_seed{seed}"),
    wildcard_constraints:
        protocol="|".join(PROTOCOLS),
        seed="[0-9]+",
    threads: 1
    resources:
        **requests.of("synthetic_run"),
    params:
        spec=lambda wildcards: canonical(
            study.synthetic_spec(wildcards.protocol, int(wildcards.seed))
        ),
    shell:
        "python -m pipeline synthetic-run --spec {params.spec:q} --out {output:q} --log {log:q}"


for table, protocols in {"summary": PROTOCOLS, **{name: [name] for name in PROTOCOLS}}.items():

    rule:
        name:
            f"synthetic_table_{table}"
        input:
            [run for protocol in protocols for run in RUNS[protocol]],
        output:
            study.synthetic_table(table),
        log:
            study.log("synthetic", table),
        localrule: True
        shell:
            "python -m pipeline synthetic-means --runs {input:q} --out {output:q} --log {log:q}"


rule figure_1:
    output:
        **other_files("figure_1"),
        png=image(study.figure("figure_1"), "Synthetic protocols"),
    log:
        study.log("figures", "figure_1"),
    localrule: True
    params:
        formats=study.run.formats.figures,
        caption=title_and_caption("figure_1")[1],
    shell:
        "python -m pipeline figure-1 --formats {params.formats:q} --out {output.png:q} --log {log:q}"


for figure, protocol in FIGURE_PROTOCOLS.items():

    rule:
        name:
            figure
        input:
            table=study.synthetic_table(protocol),
            runs=RUNS[protocol],
        output:
            **other_files(figure),
            png=image(study.figure(figure), "Synthetic protocols"),
        log:
            study.log("figures", figure),
        localrule: True
        params:
            figure=figure,
            formats=study.run.formats.figures,
            caption=title_and_caption(figure)[1],
        shell:
            "python -m pipeline synthetic-figure --figure {params.figure:q}"
            " --table {input.table:q} --runs {input.runs:q} --formats {params.formats:q}"
            " --out {output.png:q} --log {log:q}"
