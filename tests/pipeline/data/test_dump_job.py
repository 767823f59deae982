"""A long dump on a CPU has a process per core; the store is that of one process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from pipeline.study.specs import DumpSpec
from pipeline.study.study_config import TappedModel
from tests.pipeline.whole_study import make_whole_study, without_costs


@pytest.mark.slow
def test_processes_that_share_a_store_make_that_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_whole_study(tmp_path)
    whole, manifest = without_costs(made.root), Path(made.study.manifest("m", "train"))
    shutil.rmtree(made.stores("train"))
    manifest.unlink()
    threads = torch.get_num_threads()
    monkeypatch.setattr(DumpSpec, "is_short", False)
    torch.set_num_threads(2)
    try:
        made.make(str(manifest))
    finally:
        torch.set_num_threads(threads)
    assert "2 processes share the blocks" in capsys.readouterr().err
    assert without_costs(made.root) == whole


@pytest.mark.parametrize(("rows", "short"), [(70_000, True), (71_000, False)])
def test_a_dump_of_half_a_minute_is_short(rows: int, short: bool) -> None:
    """SmolLM2-135M at block 15: 2,300 tokens/s of one core."""
    model = TappedModel.model_construct(d_model=576, layer=15)
    assert DumpSpec.model_construct(model=model, rows=rows).is_short == short
