# Every cell in one table, the sweep points, comparisons, contrasts, latents, effects, ranks; the claims page.

from pipeline.study.formats import converted_synthetic, converted_tables


rule tables:
    input:
        [study.table(name) for name in study.every_table],
        list(converted_tables(study)),
    localrule: True


rule make_tables:
    input:
        [study.metrics(cell) for cell in study.cells],
    output:
        [in_report(study.table(name), "Tables", "table.rst") for name in study.tables],
    log:
        study.log("tables"),
    localrule: True
    params:
        spec=SPECS["comparison"],
        cells_root=lambda wildcards: study.cells_root,
        out_dir=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "python -m pipeline tables --spec {params.spec:q} --cells-root {params.cells_root:q}"
        " --out-dir {params.out_dir:q} --log {log:q}"


if study.ranking_tables:

    rule ranking_tables:
        input:
            tables=rules.make_tables.output,
            probes=[study.table(name) for name in study.probe_tables[:2]],
        output:
            csv=in_report(study.table(study.ranking_tables[0]), "Tables", "table.rst"),
            others=[
                in_report(study.table(name), "Tables", "table.rst")
                for name in study.ranking_tables[1:]
            ],
        log:
            study.log("ranking"),
        localrule: True
        params:
            spec=SPECS["comparison"],
            tables=lambda wildcards: study.table(),
        shell:
            "python -m pipeline ranking-tables --spec {params.spec:q} --tables {params.tables:q}"
            " --probes {input.probes:q} --out {output.csv:q} --log {log:q}"


rule claims:
    input:
        tables=rules.make_tables.output,
        dial=[study.table(name) for name in study.dial_tables],
        synthetic=lambda wildcards: synthetic_files([study.synthetic_table("summary")]),
        reference=lambda wildcards: reference_claims(),
    output:
        csv=in_report(study.table(study.claim_tables[0]), "Claims", "claims.rst"),
        others=[
            in_report(study.table(name), "Claims", "claims.rst") for name in study.claim_tables[1:]
        ],
    log:
        study.log("claims"),
    localrule: True
    params:
        spec=SPECS["report"],
        tables=lambda wildcards: study.table(),
    shell:
        "python -m pipeline claims --spec {params.spec:q} --tables {params.tables:q}"
        " --synthetic {input.synthetic:q} --reference {input.reference:q} --out {output.csv:q} --log {log:q}"


CONVERTED = converted_tables(study) | converted_synthetic(study)
if CONVERTED:

    rule convert_table:
        input:
            lambda wildcards: CONVERTED[study.path(wildcards.converted)],
        output:
            study.path("{converted}"),
        log:
            study.log("{converted}"),
        wildcard_constraints:
            converted="|".join(Path(path).relative_to(study.root).as_posix() for path in CONVERTED),
        localrule: True
        shell:
            "python -m pipeline convert --table {input:q} --out {output:q} --log {log:q}"
