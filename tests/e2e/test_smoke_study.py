"""The whole workflow on tiny random models of the paper's two architectures."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.figure import figures_of
from pipeline.jobs.json_files import read_json
from pipeline.study.cell import Cell
from pipeline.study.curves import read_curve


def test_every_cell_has_metrics_a_training_curve_and_a_row_of_its_own(smoke):
    steps = 65536 // smoke.study.config.training.batch_size
    table = pd.read_csv(smoke.path(smoke.study.table("cells.csv")))
    assert len(table) == len(smoke.study.cells) == 29
    for cell in smoke.study.cells:
        metrics = read_json(smoke.path(smoke.study.metrics(cell)))
        assert Cell(**metrics["cell"]) == cell
        assert metrics["training"]["tokens"] == 65536
        assert metrics["eval_tokens"] == 8192
        assert 0 < metrics["l0"] < cell.width
        assert 0.2 < metrics["r2"] < 1
        assert (table["r2"] == metrics["r2"]).sum() == 1
        curve, _ = read_curve(smoke.path(smoke.study.cell_file(cell, "curve.parquet")))
        assert curve["step"].tolist() == [*range(0, steps - 1, 50), steps - 1]
        assert curve["tokens"].iloc[-1] == 65536
        assert curve["reconstruction"].iloc[-1] < curve["reconstruction"].iloc[0]


def test_figures_and_report_are_there(smoke):
    names = figures_of(smoke.study.scope)
    assert {"figure_r2_variants", "figure_curves"} <= set(names)
    for name in names:
        png = smoke.path(smoke.study.figure(name)).read_bytes()
        assert png.startswith(b"\x89PNG")
        assert len(png) > 20_000
    report = smoke.path(smoke.study.report).read_text()
    assert "nothing about autoencoders" in report
    assert report.count("data:image/svg+xml;base64,") >= len(names)


def test_the_run_says_how_far_it_is_and_where_things_are(smoke):
    for text in ("tokens, ", "done in", "dump tiny-gpt-neox-train", "results/smoke/report.html"):
        assert text in smoke.output, text
    log = smoke.path(smoke.study.log("dump", "tiny-smollm3-train"))
    assert "model tokens/s" in log.read_text()
