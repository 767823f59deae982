# Jobs whose file was not made from the configuration at hand read MARKER, which this rule makes in every run. The two
# workflows include this file; pipeline/study/inputs.py says which jobs these are.
import tempfile

from pipeline.study.inputs import check_triggers

PLANNED = tempfile.NamedTemporaryFile(prefix="sagsae-plan-")  # ends with this process


rule configuration:
    input:
        lambda wildcards: local(check_triggers(workflow.dag_settings.rerun_triggers, PLANNED.name)),
    output:
        temp(touch(MARKER)),
    localrule: True
