# What all rules share, and what a study has to be asked for; the error says what to add where it has nothing.

from pipeline.study.sections import CellNameError
from pipeline.study.browser import browser_specs


# With `--sdm apptainer`, jobs run in this image; container/Containerfile says how to build it.
container: str(CHECKOUT / "container/sagsae.sif")


report: "workflow.rst"


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


def signs_runs(wildcards):
    """What all jobs make that look into signs."""
    if not study.signs:
        raise CellNameError(
            "this study looks into no signs: see section `signs` in config/README.md"
        )
    return list(study.signs)


def browser_pages(wildcards):
    """The page of the latent browser."""
    if not browser_specs(study):
        raise CellNameError(
            "this study shows no latents: add section `browser` (config/README.md), or name cells: "
            "snakemake browser --config 'browser={cells: [MODEL/HOOKPOINT/VARIANT/wH_lamL_seedS]}'"
        )
    return [study.browser_page]
