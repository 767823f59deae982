# Jobs whose file was not made from the configuration at hand read MARKER, which this rule makes in every run. The two
# workflows include this file; pipeline/study/inputs.py says which jobs these are.
import tempfile

PLANNED = tempfile.NamedTemporaryFile(prefix="sagsae-plan-")  # ends with this process


def newer_than_results(wildcards):
    """A file that is newer than every result."""
    if {"INPUT", "CODE"} & {trigger.name for trigger in workflow.dag_settings.rerun_triggers}:
        raise ValueError(
            "add --rerun-triggers mtime params, as profiles/default has it: by Snakemake's own "
            "choice the next run would make everything again"
        )
    return local(PLANNED.name)


rule configuration:
    input:
        newer_than_results,
    output:
        temp(touch(MARKER)),
    localrule: True
