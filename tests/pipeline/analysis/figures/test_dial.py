"""Figures of the dial, from made-up tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.study.study import Study
from tests.pipeline.conftest import MadeStudy
from tests.pipeline.made_dial import SIZES, make_dials
from tests.pipeline.made_grid import configuration


def made(folder: Path, *directions, **dial) -> MadeStudy:
    raw = configuration(results=str(folder), hookpoints=["mlp_out", "resid"])
    study = Study.from_dict(raw | {"dial": dial})
    make_dials(study, *directions)
    found = MadeStudy(Path(study.root), study.scope.model_dump() | {"curves": []})
    found.keep(lambda path: False)
    found.measure()
    found.make("dial")
    return MadeStudy.of(study)


@pytest.mark.parametrize(
    ("name", "measure", "value"), [("figure_dial", "effect", 4.0), ("figure_dial_kl", "kl", 0.5)]
)
def test_a_line_for_each_direction_and_a_thick_one_for_their_median(tmp_path, name, measure, value):
    figure, numbers = made(tmp_path).draw(name)
    assert [panel.get_title() for panel in figure.axes] == [
        f"{model}, {hookpoint}"
        for model in ("large", "small")
        for hookpoint in ("mlp_out", "resid")
    ]
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == len(SIZES)]
    assert len(lines) == 6 + 3
    thick = [line for line in lines if line.get_linewidth() > 1]
    assert len(thick) == 3
    assert thick[-1].get_ydata()[-1] == value
    assert list(thick[-1].get_xdata()) == SIZES
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [
        "SA-GSAE tied, one signed latent (8)",
        "Gated, opposite pair (4)",
        "random direction (12)",
    ]
    assert len(numbers) == 4 * 6 * len(SIZES)
    assert numbers.loc[numbers["size"] == 1, measure].max() == value
    assert ("effect_se" in numbers) == (measure == "effect")
