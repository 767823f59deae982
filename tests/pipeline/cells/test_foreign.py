"""Cells whose weights another library has trained: read, measured, never trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sagsae
from pipeline.analysis.csv_files import read_table, write_tables
from pipeline.analysis.page import parts_of, write_page
from pipeline.analysis.table import MEASURED, make_tables, tables_from
from pipeline.analysis.tables.cells import CELLS
from pipeline.analysis.tables.latents import LATENTS
from pipeline.jobs.json_files import read_json
from pipeline.study.cell import Cell
from pipeline.study.curves import read_curve
from pipeline.study.metrics import read_all
from pipeline.study.study import Study
from pipeline.tools.verify import verify
from tests.helpers.real_study import CONFIG, WholeStudy, configuration, make_whole_study

pytestmark = pytest.mark.long

FOREIGN = Cell(model="m", hookpoint="resid", variant="foreign-theirs", width=48, lam=1, seed=0)
GRID = CONFIG["grid"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> WholeStudy:
    return make_whole_study(tmp_path_factory.mktemp("whole"))


def with_foreign(whole: WholeStudy, source: dict[str, Any]) -> WholeStudy:
    """The same study with one cell of elsewhere."""
    block = {
        "variant": FOREIGN.variant,
        "source": source,
        "width": FOREIGN.width,
        "lambdas": [1],
        "hookpoints": ["resid"],
    }
    raw = configuration(whole.root.parent) | {"grid": [*GRID, block]}
    return WholeStudy(Study.from_dict(raw))


def test_it_is_measured_as_the_same_autoencoder_is(whole, tmp_path):
    """SA-GSAE of this study, by way of SAELens's format: a Gated SAE of twice the width."""
    own = sagsae.load(whole.cell() / "sae.safetensors")
    sagsae.export_saelens(own, tmp_path / "theirs")
    study = with_foreign(whole, {"kind": "saelens", "path": str(tmp_path / "theirs")})
    study.make(study.study.metrics(FOREIGN))
    found = read_json(study.cell(FOREIGN) / "metrics.json")
    expected = read_json(whole.cell() / "metrics.json")
    for name in ("r2", "ce_sae", "ce_clean", "ce_zero", "ce_mean", "kl"):
        assert found[name] == pytest.approx(expected[name], rel=1e-3), name
    assert found["l0"] == pytest.approx(expected["l0"], abs=0.02)
    assert found["cell"]["variant"] == "foreign-theirs"
    assert (found["training"]["steps"], found["training"]["device"]) == (0, "elsewhere")
    assert found["bipolar_fraction"] == 0
    kept = sagsae.load(study.cell(FOREIGN) / "sae.safetensors")
    assert (kept.name, kept.scale) == ("gated", 1.0)
    known = kept.provenance["foreign"]
    assert known["source"] == {"kind": "saelens", "path": str(tmp_path / "theirs")}
    assert set(known["sha256"]) == {"cfg.json", "sae_weights.safetensors"}
    assert len(read_curve(study.cell(FOREIGN) / "curve.parquet")[0]) == 0
    assert [fault.problem for fault in verify(study.study).faults] == []
    scope, source = study.study.scope, MEASURED["cells"]
    given = {"metrics": read_all(Path(study.study.cells_root), scope.grid), "spec": scope}
    write_tables(tmp_path, source, scope, make_tables(tables_from(source), given, scope))
    assert "foreign-theirs" in (tmp_path / CELLS.path).read_text()
    page = tmp_path / "latents.md"
    write_page(page, LATENTS.title, parts_of(LATENTS, read_table(tmp_path / LATENTS.path), scope))
    assert "theirs (foreign)" in page.read_text()
