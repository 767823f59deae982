# What all rules share, and what a study has to be asked for; the error says what to add where it has nothing.

from pipeline.study.inputs import Inputs
from pipeline.study.sections import CellNameError


# With `--sdm apptainer`, jobs run in this image; container/Containerfile says how to build it.
container: str(CHECKOUT / "container/sagsae.sif")


report: "workflow.rst"


def setting(value):
    """A parameter by which no job runs again: Snakemake compares none that takes the input."""
    return lambda wildcards, input: value


def is_forced():
    """Whether the command line forces jobs to run; known when all rules are read."""
    given = workflow.dag_settings
    return bool(given.forcetargets or given.forceall or given.forcerun)


MARKER = at(".configuration")
inputs = Inputs(study, MARKER, is_forced)
DEVICE = {
    "device": setting(study.run.device),
    "jobs_per_gpu": setting(study.run.jobs_per_gpu),
}


def jobs_of(kind):
    """A function of wildcards that gives what all jobs of a section make that look into cells."""

    def files(wildcards):
        if not study.looks[kind]:
            raise CellNameError(
                f"nothing of this study is made for {kind}: see section `{kind}` in config/README.md"
            )
        return [study.look_file(kind, look) for look in study.looks[kind]]

    return files


def browser_pages(wildcards):
    """The page of the latent browser."""
    if not study.looks["browser"]:
        raise CellNameError(
            "this study shows no latents: add section `browser` (config/README.md), or name cells: "
            "snakemake browser --config 'browser={cells: [MODEL/HOOKPOINT/VARIANT/wH_lamL_seedS]}'"
        )
    return [study.browser_page]
