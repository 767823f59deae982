"""`cells_per_stream` on a small study: fewer jobs read the store, and every bit is the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.study.study import Study
from tests.e2e.conftest import Workflow
from tests.pipeline.whole_study import CONFIG, without_costs

GRID: list[dict[str, Any]] = [
    {"variant": "sagsae_tied", "width": 24, "lambdas": [0.1, 0.2, 0.3]},
    {"variant": "gated", "width": 40, "lambdas": [0.1, 0.2]},
]
LEFT_BY_STREAMS = ("stream.json", "together-")


def workflow(folder: Path, cells_per_stream: int, **changes: Any) -> Workflow:
    """The small study in a folder, under a configuration of its own."""
    raw = CONFIG | {"hookpoints": ["resid"], "grid": GRID}
    raw |= {"cells_per_stream": cells_per_stream} | changes
    config = folder / f"per{cells_per_stream}-{'-'.join(changes)}.yaml"
    config.write_text(yaml.safe_dump(raw))
    return Workflow(folder, config)


def cells_of(made: Workflow) -> list[str]:
    assert made.config is not None
    study = Study.load(made.config)
    return [study.metrics(cell) for cell in study.cells]


def ran(made: Workflow, *arguments: str) -> str:
    done = made.run(*arguments)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def weights(folder: Path) -> dict[str, bytes]:
    found = folder.glob("results/small/cells/*/*/*/*/sae.safetensors")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every cell trained by its own job."""
    folder = tmp_path_factory.mktemp("alone")
    made = workflow(folder, 1)
    ran(made, *cells_of(made))
    return folder


@pytest.fixture(scope="module")
def together(alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same on the same stores, up to three cells on one stream."""
    folder = tmp_path_factory.mktemp("together")
    for name in ("results", "cache", ".snakemake"):
        shutil.copytree(alone / name, folder / name)
    shutil.rmtree(folder / "results/small/cells")
    made = workflow(folder, 3)
    planned = made.planned(*cells_of(made))
    assert planned == {"train_together": 2, "cell": 5, "total": 7}
    ran(made, *cells_of(made))
    return folder


@pytest.fixture
def copy(together: Path, tmp_path: Path) -> Callable[..., Workflow]:
    """The finished study again, to change."""
    for name in ("results", "cache", ".snakemake"):
        shutil.copytree(together / name, tmp_path / name)
    return lambda *arguments, **changes: workflow(tmp_path, *arguments, **changes)


def test_every_file_of_every_cell_is_the_same(alone, together):
    expected, found = (without_costs(one / "results/small/cells") for one in (alone, together))
    more = found.keys() - expected.keys()
    assert expected.keys() <= found.keys()
    assert len(weights(together)) == 5
    assert all(Path(name).name.startswith(LEFT_BY_STREAMS) for name in more)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_a_store_is_read_once_for_all_cells_on_a_stream(together):
    logs = [p.read_text() for p in (together / "results/small/logs/cells").rglob("together-*.log")]
    assert len(logs) == 2
    trained = sorted(text.count(": 1,024/1,024 tokens") for text in logs)
    assert trained == [2, 3]
    own = (together / "results/small/logs/cells").rglob("*_seed0.log")
    assert not any("train m/" in path.read_text() for path in own)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_another_number_of_cells_per_stream_runs_nothing(copy, alone, number):
    made = copy(number)
    assert made.planned(*cells_of(made)) == {}
    made = workflow(alone, number)
    assert made.planned(*cells_of(made)) == {}


def test_a_longer_grid_trains_the_new_cells_alone(copy):
    longer = copy(3, grid=[*GRID, {"variant": "sagsae", "width": 24, "lambdas": [0.1, 0.15]}])
    before = weights(longer.folder)
    assert longer.planned(*cells_of(longer)) == {"train_together": 1, "cell": 2, "total": 3}
    output = ran(longer, *cells_of(longer))
    after = weights(longer.folder)
    assert len(after) == 7
    assert all(after[name] == content for name, content in before.items())
    assert "train m/resid/gated" not in output
    assert longer.planned(*cells_of(longer)) == {}


@pytest.mark.parametrize("leads", [True, False])
def test_a_deleted_cell_comes_back_and_no_other_runs(copy, alone, leads):
    """Whichever cell the file of a stream lies with."""
    made = copy(3)
    folders = [made.folder / Path(target).parent for target in cells_of(made)]
    gone = next(one for one in folders if any(one.glob(".state/together-*")) == leads)
    shutil.rmtree(gone)
    assert made.planned(*cells_of(made)) == {"cell": 1, "total": 1}
    ran(made, *cells_of(made))
    assert weights(made.folder) == weights(alone)
    assert made.planned(*cells_of(made)) == {}


def test_forcing_a_cell_trains_that_one_again(copy, alone):
    made = copy(3)
    target = cells_of(made)[0]
    assert made.planned("--force", target) == {"cell": 1, "total": 1}
    output = ran(made, "--force", target)
    assert output.count(": 1,024/1,024 tokens") == 1
    assert weights(made.folder) == weights(alone)
    assert made.planned(*cells_of(made)) == {}


def test_cells_asked_for_by_name_and_no_others(copy):
    """One is trained by its own job. Several, off the grid too, are put together."""
    made = copy(3)
    names = [
        f"results/small/cells/m/resid/sagsae_tied/w24_lam{lam}_seed0/metrics.json"
        for lam in (0.51, 0.52)
    ]
    assert made.planned(names[0]) == {"cell": 1, "total": 1}
    assert made.planned(*names) == {"train_together": 1, "cell": 2, "total": 3}
    ran(made, *names)
    assert made.planned(*names) == {}
    assert len(weights(made.folder)) == 7


def test_another_recipe_trains_all_again_and_the_first_one_again(copy, alone):
    """What was noted of the first training is gone with its weights."""
    made = copy(3)
    other = copy(3, training=CONFIG["training"] | {"tokens": 512})
    planned = {"train_together": 2, "cell": 5, "total": 7}
    assert other.planned(*cells_of(other)) == planned
    ran(other, *cells_of(other))
    assert other.planned(*cells_of(other)) == {}
    assert made.planned(*cells_of(made)) == planned
    ran(made, *cells_of(made))
    assert weights(made.folder) == weights(alone)
    assert made.planned(*cells_of(made)) == {}
