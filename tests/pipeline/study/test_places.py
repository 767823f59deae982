"""Layers and transcoders in a configuration: places, names, restrictions, faults."""

from __future__ import annotations

import pytest

from pipeline.study.places import Place
from pipeline.study.sections import CellNameError, ConfigError
from pipeline.study.study import Study
from pipeline.tools.cost import Requests
from tests.helpers.real_study import CONFIG

MODEL = {key: value for key, value in CONFIG["models"][0].items() if key != "layer"}
LAYERED = [MODEL | {"layers": [0, 1]}]
BOTH = ["resid", "mlp_in->mlp_added"]


def study(**changes) -> Study:
    return Study.from_dict(CONFIG | {"models": LAYERED, "hookpoints": BOTH} | changes)


def hookpoints(made: Study) -> list[str]:
    return sorted({cell.hookpoint for cell in made.cells})


@pytest.mark.parametrize("name", ["", "a.b", "l05.resid", "-b", "a-", "a-b-c", "x" * 65])
def test_other_names_are_refused(name):
    with pytest.raises(CellNameError):
        Place.named(name)


def test_cells_and_stores_of_several_layers():
    made = study()
    arrays = [f"l{at}.{name}" for at in (0, 1) for name in ("mlp_added", "mlp_in", "resid")]
    assert made.dump_spec("m", "train").hookpoints == arrays
    predicted = [name for name in arrays if not name.endswith("mlp_in")]
    assert made.baseline_spec("m").hookpoints == predicted
    names = ["l0.mlp_in-mlp_added", "l0.resid", "l1.mlp_in-mlp_added", "l1.resid"]
    assert hookpoints(made) == names
    assert made.scope.hookpoints == [names[1], names[3], names[0], names[2]]
    rows, one = CONFIG["dump"]["train_rows"], Requests(study(hookpoints=["resid"]))
    assert one.dump("m", "train").disk == 2 * rows * 32 * 2
    assert Requests(made).dump("m", "train").disk == 6 * rows * 32 * 2
    assert Requests(made).baselines("m").tokens == 9 / 5 * one.baselines("m").tokens


def test_names_of_a_single_layer_have_none():
    made = study(models=CONFIG["models"])
    assert hookpoints(made) == ["mlp_in-mlp_added", "resid"]
    assert made.dump_spec("m", "train").hookpoints == ["mlp_added", "mlp_in", "resid"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["resid"], ["l0.resid", "l1.resid"]),
        (["l1.resid"], ["l1.resid"]),
        (["mlp_in->mlp_added"], ["l0.mlp_in-mlp_added", "l1.mlp_in-mlp_added"]),
        (["l0.mlp_in-mlp_added", "resid"], ["l0.mlp_in-mlp_added", "l0.resid", "l1.resid"]),
    ],
)
def test_sections_are_restricted_to_hookpoints_or_to_one_layer(names, expected):
    made = study(grid=[CONFIG["grid"][0] | {"hookpoints": names}])
    assert hookpoints(made) == expected
    looked = study(signs={"hookpoints": names})
    signs = sorted(spec.hookpoint for spec in looked.looks["signs"].values())
    assert signs == [name for name in expected if "-" not in name]  # of autoencoders alone


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"models": [MODEL]}, "models.0.layer: give exactly one of layer and layers"),
        ({"models": [LAYERED[0] | {"layer": 1}]}, "models.0.layer: give exactly one of"),
        ({"models": [MODEL | {"layers": [1, 0]}]}, "models.0.layers: [1, 0] does not ascend"),
        ({"hookpoints": ["mlp-in"]}, "hookpoints.0: "),
        ({"hookpoints": ["resid->token_id"]}, "hookpoints.0: 'token_id' is an array"),
        ({"hookpoints": ["resid->router"]}, "no module path for hookpoint 'router'"),
        (
            {"grid": [CONFIG["grid"][0] | {"hookpoints": ["l2.resid"]}]},
            "grid.0.hookpoints.0: unknown 'l2.resid'; known are resid, mlp_in->mlp_added, l0.resid",
        ),
        (
            {
                "models": [*LAYERED, MODEL | {"name": "n", "layers": [1]}],
                "grid": [CONFIG["grid"][0] | {"models": ["n"], "hookpoints": ["l0.resid"]}],
            },
            "grid.0.hookpoints: none of the block's models has such a layer",
        ),
        (
            {"models": [*LAYERED, {"name": "null", "like": "m"}]},
            "grid.0: of a null, rows that transcoders read and predict are drawn apart",
        ),
        (
            {"training": CONFIG["training"] | {"skip": True}},
            "is an autoencoder, which has no skip; restrict its recipes or hookpoints",
        ),
    ],
)
def test_faults_of_places_name_the_field(changes, fault):
    with pytest.raises(ConfigError) as caught:
        study(**changes)
    assert fault in str(caught.value)


def test_a_cell_off_the_grid_is_of_a_place_of_its_model():
    made = study(models=[*LAYERED, MODEL | {"name": "n", "layers": [1]}])
    name = "resid/sagsae_tied/w8_lam0.3_seed0"
    assert made.cell_named(f"m/l0.{name}").place == Place("resid", "", 0)
    for missing in (f"n/l0.{name}", f"m/{name}"):
        with pytest.raises(CellNameError, match="unknown hookpoint"):
            made.cell_named(missing)
