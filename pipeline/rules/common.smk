# What rules of tables and figures share, and what `snakemake --report` shows.

from pipeline.claims.reference import claims_file
from pipeline.config.spelling import CellNameError
from pipeline.study.browser import browser_specs
from pipeline.study.curve_files import curves_of
from pipeline.study.figures import shows_dial, shows_probes, title_and_caption
from pipeline.study.formats import figure_files

FIGURE_FILES = figure_files(study)


def dial_runs(wildcards):
    """What all jobs of the dial make."""
    if not study.dials:
        raise CellNameError(
            "this study steers with no latents: see section `dial` in config/README.md"
        )
    return list(study.dials)


def probe_runs(wildcards):
    """What all jobs of the probes make."""
    if not study.probes:
        raise CellNameError("this study probes no codes: see section `probe` in config/README.md")
    return list(study.probes)


def synthetic_files(paths):
    """Those that the study makes by itself; else those that `snakemake synthetic` has made."""
    return [path for path in paths if study.config.synthetic.with_study or Path(path).exists()]


def reference_claims():
    """The verdicts of the published study that this one names; none if it names none."""
    named = study.config.reference
    return [claims_file(CHECKOUT / named)] if named else []


def drawn_from(figure):
    """The tables that a figure is drawn from."""
    if shows_probes(figure):
        return [*rules.make_tables.output, *rules.probe_tables.output]
    return (rules.dial_tables if shows_dial(figure) else rules.make_tables).output


def curves_under(recipe):
    """The training curves that are drawn under a recipe."""
    found = curves_of(study, recipe)
    if not found:
        raise CellNameError(
            "no cell of the main comparison has a training curve here: a version before they were "
            "kept trained them, or another machine. Cells that are trained again have one."
        )
    return found


def browser_pages():
    """The page of the latent browser."""
    if not browser_specs(study):
        raise CellNameError(
            "this study shows no latents: add section `browser` (config/README.md), or name cells: "
            "snakemake browser --config 'browser={cells: [MODEL/HOOKPOINT/VARIANT/wH_lamL_seedS]}'"
        )
    return [study.browser_page]


def in_report(path, category, caption):
    """A table of ``snakemake --report``; LaTeX files are not shown there."""
    labels = {"table": Path(path).name}
    shown = report(path, caption=caption, category=category, labels=labels)
    return path if path.endswith(".tex") else shown


def other_files(name="{figure}"):
    """What a figure is beside its PNG, by format."""
    return {end: study.figure(name, end) for end in FIGURE_FILES if end != "png"}


def image(path, category="Figures"):
    """An image of ``snakemake --report``, under its title; the caption is a parameter of its rule."""
    labels = lambda wildcards, output: {"figure": title_and_caption(Path(output.png).stem)[0]}
    return report(path, caption="figure.rst", category=category, labels=labels)
