"""The workflow uses what Snakemake's manual describes."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULES = [ROOT / "Snakefile", ROOT / "workflow" / "Snakefile", *ROOT.glob("*/rules/*.smk")]
DOCUMENTED = {"workflow.basedir", "workflow.cores"}
PUBLIC = {"workflow.configfiles", "workflow.dag_settings"}
"""Not in the manual, which has no other way to learn which files were given, and whether the
command line forces jobs."""
IMPORTED = {"utils.min_version", "io.ancient"}
"""What is imported of Snakemake: by the Snakefile, and by functions that give inputs."""


def test_rules_use_documented_attributes_of_the_workflow_alone():
    for file in RULES:
        text = re.sub(r"#.*|\"[^\"\n]*\"", "", file.read_text())
        found = set(re.findall(r"\bworkflow\.\w+", text))
        undocumented = found - DOCUMENTED - PUBLIC
        assert not undocumented, f"{file}: {undocumented} is not in Snakemake's manual"


def test_nothing_else_of_snakemake_is_imported():
    modules = [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "sagsae").rglob("*.py"), *RULES]
    assert len(modules) > 100
    for file in modules:
        text = file.read_text()
        assert not re.search(r"^\s*import snakemake", text, re.MULTILINE), file
        for module, names in re.findall(
            r"^\s*from snakemake\.?(\S*) import (.+)", text, re.MULTILINE
        ):
            found = {f"{module}.{name.strip()}" for name in names.strip("()").split(",")}
            assert found <= IMPORTED, f"{file}: {found - IMPORTED}"
