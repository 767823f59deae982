"""Figures of the probes, from made-up tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.conftest import MadeStudy
from tests.pipeline.made_grid import make_grid
from tests.pipeline.made_probes import make_probes

PLACES = [
    f"{model}, {hookpoint}" for model in ("large", "small") for hookpoint in ("attn", "resid")
]


def made(folder: Path, **probe) -> MadeStudy:
    study = make_grid(folder, hookpoints=["attn", "resid"], probe=probe)
    make_probes(study)
    found = MadeStudy.of(study)
    found.tables()
    return found


def test_accuracy_against_the_number_of_sides(tmp_path):
    found = made(tmp_path)
    figure, numbers = found.draw("figure_probing")
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
    found = made(tmp_path, seeds=3)
    figure, numbers = found.draw("figure_absorption")
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
