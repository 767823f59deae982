# What rules share: what a cell reads, and what `snakemake --report` shows.


def inputs_of(cell):
    """What the job of a cell reads, or waits for; nothing if it was finished elsewhere."""
    if workflow.is_main_process and kept.holds(cell):
        return {}
    waited = {name: ancient(path) for name, path in streams.inputs(cell).items()}
    foreign = study.foreign.get(cell)
    source = {"source": foreign.local_files} if foreign and foreign.local_files else {}
    return read_by_cells(study, cell.model) | waited | source


def dial_runs(wildcards):
    """What all jobs of the dial make."""
    if not study.dials:
        raise WorkflowError(
            "this study steers with no latents: see section `dial` in config/README.md"
        )
    return list(study.dials)


def in_report(path, category, caption):
    """A table of ``snakemake --report``; LaTeX files are not shown there."""
    labels = {"table": Path(path).name}
    shown = report(path, caption=caption, category=category, labels=labels)
    return path if path.endswith(".tex") else shown


def image(path, category="Figures"):
    """An image of ``snakemake --report``, under its title; the caption is a parameter of its rule."""
    labels = lambda wildcards, output: {"figure": title_and_caption(Path(output.png).stem)[0]}
    return report(path, caption="figure.rst", category=category, labels=labels)
