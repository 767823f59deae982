# Every cell in one table, the sweep points, the comparisons.

TABLES = ["cells.csv", "points.csv", "comparison.csv", "comparison.md"]


rule tables:
    input:
        [study.table(name) for name in TABLES],


rule make_tables:
    input:
        [study.metrics(cell) for cell in study.cells],
    output:
        [study.table(name) for name in TABLES],
    log:
        study.log("tables"),
    params:
        spec=SPECS["comparison"],
        cells_root=lambda wildcards: study.path("cells"),
        out_dir=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m pipeline.tables --spec {params.spec:q} --cells-root {params.cells_root:q}"
        " --out-dir {params.out_dir:q} 2>&1 | (tee {log:q} || true)"
