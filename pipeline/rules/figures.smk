# Figures, each with the numbers that it draws, and the report that shows everything.


rule figures:
    input:
        [study.figure(metric) for metric in FIGURES],


rule figure:
    input:
        points=study.table("points.csv"),
        comparison=study.table("comparison.csv"),
    output:
        png=study.figure(),
        svg=study.figure(suffix="svg"),
        csv=study.figure(suffix="csv"),
    log:
        study.log("figures", "{metric}"),
    params:
        spec=SPECS["comparison"],
    shell:
        "python -m pipeline.figures --spec {params.spec:q} --points {input.points:q}"
        " --comparison {input.comparison:q} --metric {wildcards.metric:q} --out {output.png:q}"
        " 2>&1 | (tee {log:q} || true)"


rule report:
    input:
        rules.tables.input,
        rules.figures.input,
    output:
        study.report,
    log:
        study.log("report"),
    params:
        spec=SPECS["report"],
        tables=lambda wildcards: study.path("tables"),
        figures=lambda wildcards: study.path("figures"),
    shell:
        "python -m pipeline.report --spec {params.spec:q} --tables {params.tables:q}"
        " --figures {params.figures:q} --out {output:q} 2>&1 | (tee {log:q} || true)"
