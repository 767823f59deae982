# Tables, figures, claims and the report of a study from its measures alone: no model, no store and no weights.
# snakemake --snakefile workflow/analysis.smk --cores 2 --config measures=results/reference/local-reference/measures out=DIR
import sys
from pathlib import Path

CHECKOUT = Path(workflow.basedir).parent
sys.path.insert(0, str(CHECKOUT))  # whatever --directory says

from pipeline.study.run_settings import Formats
from pipeline.jobs.stage import put_checkout_first
from pipeline.study.scope import Scope

put_checkout_first(CHECKOUT)
if missing := {"measures", "out"} - config.keys():
    sys.exit(f"error: give --config measures=DIR out=DIR: {', '.join(sorted(missing))} is missing")
MEASURES, OUT, PAGE = config["measures"].rstrip("/"), config["out"].rstrip("/"), []
SCOPE = Scope.read(Path(MEASURES, "study.json"))
FORMATS = Formats(figures=config.get("figures", []), tables=config.get("tables", []))


MARKER = f"{OUT}/.configuration"


include: "rules/configuration.smk"
include: "rules/analysis.smk"


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
        rules.synthetic.input if SCOPE.with_synthetic else [],
        rules.report.output,
    localrule: True
