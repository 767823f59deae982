# Measures -> tables, figures, claims and the report. Both workflows include this file. It reads MEASURES, the folder
# of measures, and writes below OUT. SCOPE says what the study is; FORMATS and PAGE are given, too. Which tables and
# figures there are is declared beside the functions that make them, see pipeline/analysis/table.py and figure.py.
from pipeline.analysis.csv_files import current_tables, made_of
from pipeline.analysis.figure import (
    all_figures,
    drawn_from,
    drawn_together,
    figures_of,
    figures_from,
    pattern,
    synthetic_figures,
    title_and_caption,
)
from pipeline.analysis.table import files_made_from, sources, tables_of
from pipeline.study.inputs import unless_current

# After a change of the analysis, or of the study, all is made again, in seconds; nothing trains.
CODE = made_of(SCOPE)
STUDY = f"{MEASURES}/study.json"
ENDS = [".png", ".svg", ".csv", *(f".{name}" for name in FORMATS.figures if name != "svg")]
PAGES = [
    f".{name}".replace("latex", "tex") for name in FORMATS.tables
]  # others on demand: tables/comparison.md
made_by = lambda source: [f"{OUT}/{path}" for path in files_made_from(source, SCOPE)]
figure_files = lambda names: [f"{OUT}/figures/{name}{end}" for name in names for end in ENDS]
labels_of = lambda figure: dict(zip(("figure", "how to read it"), title_and_caption(figure)))


wildcard_constraints:
    figure=pattern(),
    table="[a-z_]+",


rule tables:
    input:
        [
            made_by(source)
            for source in sources()
            if source.folder == "tables" and source.when(SCOPE)
        ],
        [str(Path(OUT, table.path).with_suffix(end)) for table in tables_of(SCOPE) for end in PAGES],
    localrule: True


rule figures:
    input:
        figure_files(figures_of(SCOPE)),
    localrule: True


for source in sources():

    # Its tables, its page and the figures that draw them.
    rule:
        name:
            source.kind
        input:
            made_by(source),
            figure_files(figures_from(source, SCOPE)),
        localrule: True

    rule:
        name:
            f"{source.kind}_tables"
        input:
            ancient(STUDY),
            [f"{MEASURES}/{name}" for name in source.measures],
            [f"{OUT}/{path}" for path in source.reads(SCOPE)],
            source.files(SCOPE),
            unpack(
                lambda wildcards, source=source: unless_current(
                    current_tables(Path(OUT), source, SCOPE), MARKER
                )
            ),
        output:
            [
                (
                    report(
                        path,
                        category="Tables",
                        caption="table.rst",
                        labels={"table": Path(path).stem.replace("_", " ")},
                    )
                    if Path(path).suffix == ".csv"
                    else path
                )
                for path in made_by(source)
            ],
        log:
            f"{OUT}/logs/{source.kind}_tables.log",
        localrule: True
        params:
            kind=source.kind,
            of=made_of(SCOPE, source),
            measures=lambda wildcards: MEASURES,
            root=lambda wildcards: OUT,
        shell:
            "python -m pipeline tables --of {params.kind:q} --measures {params.measures:q} --root {params.root:q}"
            " --log {log:q}"


rule page:
    input:
        ancient(STUDY),
        csv=f"{OUT}/tables/{{table}}.csv",
    output:
        f"{OUT}/tables/{{table}}.{{end}}",
    log:
        f"{OUT}/logs/{{table}}.{{end}}.log",
    wildcard_constraints:
        end="md|tex|html|parquet",
    localrule: True
    params:
        of=CODE,
        measures=lambda wildcards: MEASURES,
    shell:
        "python -m pipeline page --measures {params.measures:q} --table {input.csv:q} --out {output:q} --log {log:q}"


for job, names in drawn_together(SCOPE).items():

    # All figures that a study draws of the same tables. Snakemake prefers a rule without wildcards.
    rule:
        name:
            job
        input:
            ancient(STUDY),
            list(dict.fromkeys(file for name in names for file in drawn_from(name, OUT, MEASURES))),
        output:
            [f"{OUT}/figures/{name}.csv" for name in names],
            images=[
                (
                    report(
                        path,
                        category="Figures",
                        labels=labels_of(Path(path).stem),
                    )
                    if Path(path).suffix == ".png"
                    else path
                )
                for path in figure_files(names)
                if Path(path).suffix != ".csv"
            ],
        log:
            f"{OUT}/logs/figures/{job}.log",
        localrule: True
        params:
            of=CODE,
            measures=lambda wildcards: MEASURES,
            root=lambda wildcards: OUT,
        shell:
            "python -m pipeline figure --measures {params.measures:q} --root {params.root:q} --out {output.images:q}"
            " --log {log:q}"


# Another figure, on demand.
rule draw_figure:
    input:
        ancient(STUDY),
        lambda wildcards: drawn_from(wildcards.figure, OUT, MEASURES),
    output:
        png=report(
            f"{OUT}/figures/{{figure}}.png",
            category="Figures",
            labels=lambda wildcards: labels_of(wildcards.figure),
        ),
        csv=f"{OUT}/figures/{{figure}}.csv",
    log:
        f"{OUT}/logs/figures/{{figure}}.log",
    localrule: True
    params:
        of=CODE,
        measures=lambda wildcards: MEASURES,
        root=lambda wildcards: OUT,
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


for name in dict.fromkeys([*all_figures(), *figures_of(SCOPE)]):

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
        [f"{OUT}/figures/{name}.svg" for name in figures_of(SCOPE)],
        synthetic=[
            f"{OUT}/figures/{name}.svg" for name in synthetic_figures() if SCOPE.with_synthetic
        ],
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
