"""What a published study must have."""

from __future__ import annotations

import pytest

from pipeline.analysis.names import tables_of
from pipeline.jobs.json_files import write_json
from pipeline.study.outputs import CLAIMS_PAGE, CURVES, MEASURES, SCOPE
from pipeline.study.scope import Scope
from pipeline.tools.publish import publish


def test_curves_that_figures_draw_are_published_or_asked_for(tmp_path):
    cell = "small/attn/gated/w64_lam0.1_seed0"
    scope = Scope(cells=[cell], curves=[cell], comparisons=[], models={"small": 16}, hookpoints=[])
    root, out = tmp_path / "study", tmp_path / "published"
    write_json(root / MEASURES / SCOPE, scope.model_dump())
    (root / "tables").mkdir()
    for name in (*tables_of(scope), CLAIMS_PAGE):
        (root / "tables" / name).touch()
    with pytest.raises(FileNotFoundError, match=CURVES):
        publish(root, out, [])
    (root / MEASURES / CURVES).touch()
    publish(root, out, [])
    assert (out / MEASURES / CURVES).exists()
