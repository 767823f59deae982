"""Tables of steering, from made-up results whose scores are known."""

from __future__ import annotations

import json
import math

import pytest

from pipeline.analysis.tables.dial import curve_table, dial_table
from pipeline.study.dial import LATENT, PAIR, RANDOM
from pipeline.study.study import Study
from tests.helpers.made_looks import CHANCE, DIAL, SIZES, direction, made_dial
from tests.helpers.made_studies import configuration


@pytest.fixture
def study(tmp_path) -> Study:
    asked = {"dial": {"models": ["small"], "hookpoints": ["attn", "resid"]}}
    return Study.from_dict(configuration(results=str(tmp_path)) | asked)


@pytest.fixture
def runs(study):
    return [made_dial(spec) for spec in study.looks["dial"].values()]


def test_every_direction_has_a_row_with_its_score(runs):
    table = dial_table(runs)
    assert len(table) == 2 * 6
    assert table["kind"].tolist() == [LATENT, LATENT, PAIR, RANDOM, RANDOM, RANDOM] * 2
    assert table["hookpoint"].tolist() == ["attn"] * 6 + ["resid"] * 6
    first, pair, drawn = (table.iloc[i] for i in (0, 2, 3))
    assert (first["monotone"], first["symmetry"], first["gain"]) == (1, 0.75, 3.5)
    assert (first["times_random"], first["dial"]) == (3.5, True)
    assert (first["effect_minus"], first["effect_plus"], first["size"]) == (-3, 4, 1)
    assert (first["kl_minus"], first["kl_plus"]) == (3 / 8, 4 / 8)
    assert (first["variant"], first["width"], first["l0"]) == ("sagsae_tied", 128, 60)
    assert (first["latent_plus"], first["latent_minus"]) == (11, 11)
    assert (first["own_size_plus"], first["own_size_minus"]) == (0.25, 0.125)
    assert (pair["variant"], pair["latent_plus"], pair["latent_minus"]) == ("gated", 21, 31)
    assert (pair["monotone"], pair["symmetry"], pair["dial"]) == (1, 0.1, False)
    assert pair["cosine"] == -0.8
    assert (drawn["times_random"], drawn["dial"]) == (1, False)
    assert drawn[["latent_plus", "cosine", "contribution", "width"]].isna().all()
    assert json.loads(first["promoted_plus"]) == [" good", "|", "好"]


@pytest.mark.parametrize(
    ("gains", "times"), [((1, 2, 9), 1.75), ((1, 3), 1.75), ((-1, 0, 0), math.nan)]
)
def test_chance_is_the_median_of_the_random_directions_of_the_job(study, gains, times):
    spec = next(iter(study.looks["dial"].values()))
    drawn = [direction(RANDOM, i, [x * gain for x in CHANCE]) for i, gain in enumerate(gains, 1)]
    found = dial_table([made_dial(spec, direction(LATENT, 1, DIAL), *drawn)])
    assert found["times_random"].iloc[0] == pytest.approx(times, nan_ok=True)
    assert not found["dial"].iloc[0]


def test_curves_have_a_row_per_size(runs):
    curves = curve_table(runs)
    assert len(curves) == 2 * 6 * len(SIZES)
    one = curves[(curves["hookpoint"] == "resid") & (curves["kind"] == LATENT)]
    one = one[one["rank"] == 2]
    assert one["size"].tolist() == SIZES
    assert one["effect"].tolist() == DIAL
    assert one["kl"].tolist() == [abs(value) / 8 for value in DIAL]
    assert one["effect_se"].tolist() == [0.1, 0.1, 0, 0.1, 0.1]
