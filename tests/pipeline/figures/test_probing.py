"""Figures of the probes, from made-up tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.figures import draw as figures
from pipeline.jobs.json_files import write_json
from pipeline.study.comparison_spec import ComparisonSpec
from pipeline.study.study import Study
from tests.pipeline.made_grid import make_grid
from tests.pipeline.made_probes import make_probes

PLACES = [
    f"{model}, {hookpoint}" for model in ("large", "small") for hookpoint in ("attn", "resid")
]


def made(folder: Path, **probe) -> tuple[Study, ComparisonSpec]:
    study = make_grid(folder, hookpoints=["attn", "resid"], probe=probe)
    files = [str(path) for path in make_probes(study)]
    spec = folder / "spec.json"
    write_json(spec, study.report_spec())
    tables = Path(study.table())
    main(["tables", "--spec", f"@{spec}", "--cells-root", study.cells_root, f"--out-dir={tables}"])
    out = tables / "probing.csv"
    main(["probe-tables", "--spec", f"@{spec}", "--runs", *files, "--out", str(out)])
    return study, ComparisonSpec.model_validate(study.report_spec())


def test_accuracy_against_the_number_of_sides(tmp_path):
    study, spec = made(tmp_path)
    figure, numbers = figures.draw("figure_probing", Path(study.table()), spec)
    assert [panel.get_title() for panel in figure.axes] == PLACES
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[-2:] == ["k coordinates of the activation", "the whole activation"]
    assert len(texts) == 8 + 2
    lines = [line for line in figure.axes[0].lines if list(line.get_xdata()) == [1, 5]]
    assert len(lines) == 8 + 1
    grey = lines[-1]
    assert list(grey.get_ydata()) == [0.6, 0.7]
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert any(np.allclose(line.get_ydata(), 0.9) for line in dashed)
    assert set(numbers["lam"]) == {0.1}  # whose L0 of 80 is nearest 64
    assert len(numbers) == 4 * 8 * 2
    assert numbers["accuracy_se"].isna().all()
    assert list(figure.axes[0].get_xticks()) == [1, 5]


def test_absorption_against_l0(tmp_path):
    study, spec = made(tmp_path, seeds=3)
    figure, numbers = figures.draw("figure_absorption", Path(study.table()), spec)
    assert [panel.get_title().partition("\n")[0] for panel in figure.axes] == PLACES
    one = numbers[(numbers["variant"] == "gated") & (numbers["width"] == 256)]
    one = one[(one["model"] == "small") & (one["hookpoint"] == "attn")]
    assert one["lam"].tolist() == [0.05, 0.1, 0.2]
    l0 = [(8 / lam) * np.array([1, 1.01, 1.02]) for lam in one["lam"]]
    assert one["l0"].to_numpy() == pytest.approx([values.mean() for values in l0])
    assert one["fraction"].to_numpy() == pytest.approx([(1 / values).mean() for values in l0])
    error = [(1 / values).std(ddof=1) / np.sqrt(3) for values in l0]
    assert one["fraction_se"].to_numpy() == pytest.approx(error)
    assert set(numbers.loc[numbers["collapsed"] != "", "variant"]) == {
        "sagsae_noaux",
        "sagsae_tied",
    }
