# Measures -> tables, figures, claims and the report. Both workflows include this file. It reads MEASURES, the folder
# of measures, and writes below OUT. SCOPE says what the study is; CHECKOUT, FORMATS and PAGE are given, too.
from pipeline.analysis.csv_files import SUMS, drop_outdated, made_of
from pipeline.analysis.figures.catalogue import (
    DIALS,
    FIGURES,
    PATTERN,
    PROBES,
    SYNTHETIC,
    drawn_from,
    figures_of,
    parts,
    title_and_caption,
)
from pipeline.analysis.names import (
    claim_tables,
    claims_file,
    derived_tables,
    ranking_tables,
    table_kinds,
    tables_of,
)
from pipeline.claims.load import claims_digest
from pipeline.study.outputs import DIAL_TABLES, PROBE_TABLES, SIGNS_TABLES
from pipeline.study.synthetic import PROTOCOLS

# After a change of the analysis, or of the study, all is made again, in seconds; nothing trains.
CODE = made_of(SCOPE)
STUDY = f"{MEASURES}/study.json"
ENDS = [".png", ".csv", *(f".{name}" for name in FORMATS.figures)]
PAGES = [
    f".{name}".replace("latex", "tex") for name in FORMATS.tables
]  # others on demand: tables/comparison.md
table = lambda name: f"{OUT}/tables/{name}"


sums = lambda kind, folder="tables": f"{OUT}/{folder}/{SUMS.format(kind=kind)}"


for folder in (Path(OUT, "tables"), Path(OUT, "synthetic")):
    drop_outdated(folder, SCOPE, {"claims": claims_digest(SCOPE.claims)})  # what is missing is made again


figure_files = lambda names: [f"{OUT}/figures/{name}{end}" for name in names for end in ENDS]


wildcard_constraints:
    figure=PATTERN,
    table="[a-z_]+",


rule tables:
    input:
        [sums(kind) for kind in table_kinds(SCOPE)],
        [table(name) for name in tables_of(SCOPE)],
        [table("claims.md") for _ in claim_tables(SCOPE)[:1]],
        [table(Path(name).stem + end) for name in tables_of(SCOPE) for end in PAGES],
    localrule: True


rule figures:
    input:
        figure_files(figures_of(SCOPE)),
    localrule: True


rule synthetic:
    input:
        sums("synthetic", "synthetic"),
        f"{OUT}/synthetic/summary.csv",
        figure_files(SYNTHETIC),
    localrule: True


rule dial:
    input:
        table("dial.csv"),
        figure_files(name for name in figures_of(SCOPE) if parts(name)[0] in DIALS),
    localrule: True


rule probe:
    input:
        table("probing.csv"),
        figure_files(name for name in figures_of(SCOPE) if parts(name)[0] in PROBES),
    localrule: True


rule signs:
    input:
        table("consistency.csv"),
        table("poles.csv"),
    localrule: True


rule make_tables:
    input:
        ancient(STUDY),
        f"{MEASURES}/cells.jsonl",
    output:
        sums("cells"),
        [
            report(
                table(name),
                category="Tables",
                caption="table.rst",
                labels={"table": Path(name).stem.replace("_", " ")},
            )
            for name in derived_tables(SCOPE)
        ],
    log:
        f"{OUT}/logs/tables.log",
    localrule: True
    params:
        of=CODE,
        measures=lambda wildcards: MEASURES,
        out=lambda wildcards: table(""),
    shell:
        "python -m pipeline tables --measures {params.measures:q} --out-dir {params.out:q} --log {log:q}"


for kind, made in {"dial": DIAL_TABLES, "probe": PROBE_TABLES, "signs": SIGNS_TABLES}.items():

    rule:
        name:
            f"{kind}_tables"
        input:
            ancient(STUDY),
            f"{MEASURES}/{kind}.jsonl",
        output:
            sums(kind),
            [table(name) for name in made],
        log:
            f"{OUT}/logs/{kind}_tables.log",
        localrule: True
        params:
            kind=kind,
            of=CODE,
            measures=lambda wildcards: MEASURES,
            out=lambda wildcards: table(""),
        shell:
            "python -m pipeline tables --of {params.kind:q} --measures {params.measures:q} --out-dir {params.out:q} --log {log:q}"


rule ranking_tables:
    input:
        ancient(STUDY),
        table("cells.csv"),
        [table(name) for name in PROBE_TABLES if SCOPE.jobs("probe")],
    output:
        sums("ranking"),
        [table(name) for name in ranking_tables(SCOPE)],
    log:
        f"{OUT}/logs/ranking.log",
    localrule: True
    params:
        of=CODE,
        measures=lambda wildcards: MEASURES,
        tables=lambda wildcards: table(""),
    shell:
        "python -m pipeline ranking-tables --measures {params.measures:q} --tables {params.tables:q}"
        " --log {log:q}"


rule synthetic_tables:
    input:
        ancient(STUDY),
        f"{MEASURES}/synthetic.jsonl",
    output:
        sums("synthetic", "synthetic"),
        csv=f"{OUT}/synthetic/summary.csv",
        others=[f"{OUT}/synthetic/{name}.csv" for name in PROTOCOLS],
    log:
        f"{OUT}/logs/synthetic_tables.log",
    localrule: True
    params:
        of=CODE,
        measures=lambda wildcards: MEASURES,
        out=lambda wildcards: f"{OUT}/synthetic",
    shell:
        "python -m pipeline synthetic-tables --measures {params.measures:q} --out-dir {params.out:q} --log {log:q}"


if SCOPE.claims:

    rule claims:
        input:
            ancient(STUDY),
            [table(name) for name in derived_tables(SCOPE)],
            [table("dial.csv") for _ in [*SCOPE.jobs("dial")][:1]],
            synthetic=[rules.synthetic_tables.output.csv] if SCOPE.with_synthetic else [],
            reference=[claims_file(CHECKOUT / SCOPE.reference)] if SCOPE.reference else [],
        output:
            sums("claims"),
            [table(name) for name in claim_tables(SCOPE)],
            page=report(
                table("claims.md"),
                category="Claims",
                caption="claims.rst",
                labels={"page": "Verdicts, rules and limits"},
            ),
        log:
            f"{OUT}/logs/claims.log",
        localrule: True
        params:
            of=made_of(SCOPE, claims_digest(SCOPE.claims)),
            measures=lambda wildcards: MEASURES,
            tables=lambda wildcards: table(""),
        shell:
            "python -m pipeline claims --measures {params.measures:q} --tables {params.tables:q}"
            " --synthetic {input.synthetic:q} --reference {input.reference:q} --log {log:q}"


rule page:
    input:
        ancient(STUDY),
        csv=table("{table}.csv"),
    output:
        table("{table}.{end}"),
    log:
        f"{OUT}/logs/{{table}}.{{end}}.log",
    wildcard_constraints:
        table="(?!claims$)[a-z_]+",
        end="md|tex|html|parquet",
    localrule: True
    params:
        of=CODE,
        measures=lambda wildcards: MEASURES,
    shell:
        "python -m pipeline page --measures {params.measures:q} --table {input.csv:q} --out {output:q} --log {log:q}"


rule draw_figure:
    input:
        ancient(STUDY),
        lambda wildcards: drawn_from(wildcards.figure, OUT, MEASURES),
    output:
        png=report(
            f"{OUT}/figures/{{figure}}.png",
            category="Figures",
            caption="figure.rst",
            labels=lambda wildcards: {"figure": title_and_caption(wildcards.figure)[0]},
        ),
        csv=f"{OUT}/figures/{{figure}}.csv",
    log:
        f"{OUT}/logs/figures/{{figure}}.log",
    localrule: True
    params:
        of=CODE,
        measures=lambda wildcards: MEASURES,
        root=lambda wildcards: OUT,
        caption=lambda wildcards: title_and_caption(wildcards.figure)[1],
    shell:
        "python -m pipeline figure --measures {params.measures:q} --root {params.root:q} --out {output.png:q} --log {log:q}"


rule draw_vector_figure:
    input:
        ancient(STUDY),
        lambda wildcards: drawn_from(wildcards.figure, OUT, MEASURES),
    output:
        f"{OUT}/figures/{{figure}}.{{kind}}",
    log:
        f"{OUT}/logs/figures/{{figure}}.{{kind}}.log",
    wildcard_constraints:
        kind="svg|pdf",
    localrule: True
    params:
        of=CODE,
        measures=lambda wildcards: MEASURES,
        root=lambda wildcards: OUT,
    shell:
        "python -m pipeline figure --measures {params.measures:q} --root {params.root:q} --out {output:q} --log {log:q}"


for name in dict.fromkeys([*FIGURES, *figures_of(SCOPE)]):

    rule:
        name:
            name
        input:
            figure_files([name]),
        localrule: True


rule report:
    input:
        STUDY,
        rules.tables.input,
        [f"{OUT}/figures/{name}.png" for name in figures_of(SCOPE)],
        synthetic=[f"{OUT}/figures/{name}.png" for name in SYNTHETIC if SCOPE.with_synthetic],
    output:
        html=report(
            f"{OUT}/report.html", category="Report", labels={"page": "The study on one page"}
        ),
    log:
        f"{OUT}/logs/report.log",
    localrule: True
    params:
        of=CODE,
        measures=lambda wildcards: MEASURES,
        root=lambda wildcards: OUT,
        browser=PAGE,
    shell:
        "python -m pipeline report --measures {params.measures:q} --root {params.root:q} --browser {params.browser:q}"
        " --out {output.html:q} --log {log:q}"
