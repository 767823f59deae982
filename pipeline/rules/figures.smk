# Figures, each with the numbers that it draws and under its own name, and the report.

from pipeline.study.curve_files import curve_figures, figures_with_curves
from pipeline.study.figures import SYNTHETIC_FIGURES
from pipeline.study.outputs import BROWSER, BROWSER_PAGE

CURVES = curve_figures(study)
CURVES_HERE = figures_with_curves(study)


rule figures:
    input:
        [study.figure(name, end) for name in study.figures for end in FIGURE_FILES],
        [study.figure(name, end) for name in CURVES_HERE for end in FIGURE_FILES],
    localrule: True


for name in [*study.figures_by_name, *CURVES]:

    rule:
        name:
            name
        input:
            [study.figure(name, end) for end in FIGURE_FILES],
        localrule: True


rule draw_figure:
    input:
        lambda wildcards: drawn_from(wildcards.figure),
    output:
        **other_files(),
        png=image(study.figure()),
    log:
        study.log("figures", "{figure}"),
    wildcard_constraints:
        figure="|".join(study.figures_by_name),
    localrule: True
    params:
        spec=SPECS["comparison"],
        tables=lambda wildcards: study.table(),
        formats=study.run.formats.figures,
        caption=lambda wildcards: title_and_caption(wildcards.figure)[1],
    shell:
        "python -m pipeline figure --spec {params.spec:q} --tables {params.tables:q}"
        " --figure {wildcards.figure:q} --formats {params.formats:q} --out {output.png:q} --log {log:q}"


rule draw_curves:
    input:
        rules.make_tables.output,
        curves=lambda wildcards: curves_under(CURVES[wildcards.figure]),
    output:
        **other_files(),
        png=image(study.figure()),
    log:
        study.log("figures", "{figure}"),
    wildcard_constraints:
        figure="|".join(CURVES),
    localrule: True
    params:
        spec=SPECS["comparison"],
        tables=lambda wildcards: study.table(),
        cells_root=lambda wildcards: study.cells_root,
        formats=study.run.formats.figures,
        caption=lambda wildcards: title_and_caption(wildcards.figure)[1],
    shell:
        "python -m pipeline figure --spec {params.spec:q} --tables {params.tables:q}"
        " --cells-root {params.cells_root:q} --figure {wildcards.figure:q}"
        " --formats {params.formats:q} --out {output.png:q} --log {log:q}"


rule report:
    input:
        rules.tables.input,
        rules.figures.input,
        synthetic=lambda wildcards: synthetic_files(map(study.figure, SYNTHETIC_FIGURES)),
        # Of a published study; another one's numbers are made with what is installed here.
        environment=lambda wildcards: [p for p in [study.environment] if Path(p).exists()],
        curves=[study.figure(name) for name in CURVES_HERE],
    output:
        html=report(study.report, category="Report", labels={"page": "The study on one page"}),
    log:
        study.log("report"),
    localrule: True
    params:
        spec=SPECS["report"],
        tables=lambda wildcards: study.table(),
        figures=lambda wildcards: study.path("figures"),
        browser=[f"{BROWSER}/{BROWSER_PAGE}"] if browser_specs(study) else [],
    shell:
        "python -m pipeline report --spec {params.spec:q} --tables {params.tables:q}"
        " --figures {params.figures:q} --synthetic {input.synthetic:q} --environment {input.environment:q}"
        " --browser {params.browser:q} --curves {input.curves:q} --out {output.html:q} --log {log:q}"
