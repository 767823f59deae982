"""Which cells share a stream: alike in all that orders batches, evenly, and only if untrained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.study.cell import Cell
from pipeline.study.specs import StreamSpec
from pipeline.study.streams import Streams, put_together
from pipeline.study.study import Study
from tests.pipeline.whole_study import CONFIG

GRID = [
    {"variant": "sagsae_tied", "width": 24, "lambdas": [0.1, 0.2, 0.3], "seeds": [0, 1]},
    {"variant": "gated", "width": 48, "lambdas": [0.1, 0.2], "seeds": [0, 1]},
]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.from_dict(CONFIG | {"grid": GRID, "results": str(tmp_path)})


def streams(study: Study, *targets: str, most: int = 3) -> Streams:
    return Streams(study, lambda: targets, most)


def by_file(study: Study, found: Streams, cells: list[Cell]) -> dict[str, list[Cell]]:
    files: dict[str, list[Cell]] = {}
    for cell in cells:
        files.setdefault(found.inputs(cell).get("together", ""), []).append(cell)
    return files


def finish(study: Study, cell: Cell, **made_from: Any) -> None:
    """Metrics of a cell, as far as they are looked at."""
    path = Path(study.metrics(cell))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"made_from": {"train": digest(study.train_spec(cell))} | made_from})


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 100])
def test_every_cell_once_and_jobs_of_even_size(study, most):
    found = put_together(study, study.cells, most)
    assert sorted(cell for cells in found for cell in cells) == study.cells
    for cells in found:
        assert len({(cell.model, cell.hookpoint, cell.seed) for cell in cells}) == 1
    assert len(found) == 4 * -(-5 // most)
    sizes = {len(cells) for cells in found}
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1


def test_wide_and_narrow_ones_are_mixed(study):
    for cells in put_together(study, study.cells, 3):
        assert {cell.width for cell in cells} == {24, 48}


def test_what_decides_the_batches_and_the_recipe_is_in_the_key(study):
    spec = study.train_spec(study.cells[0])
    same = {"variant": "gated", "width": 7, "lam": 0.7}
    assert spec.model_copy(update={"cell": replace(spec.cell, **same)}).stream == spec.stream
    others = [spec.model_copy(update={"cell": replace(spec.cell, seed=9)})]
    others += [spec.model_copy(update={"store": "0"})]
    changes = {"matmul_dtype": "float32"}
    changes |= {k: v + 1 for k, v in spec.training.model_dump().items() if type(v) in (int, float)}
    assert len(changes) > 10
    for name, value in changes.items():
        training = spec.training.model_copy(update={name: value})
        others.append(spec.model_copy(update={"training": training}))
    assert spec.stream not in {other.stream for other in others}
    assert len({other.stream for other in others}) == len(others)


def test_one_cell_per_stream_waits_for_nothing(study):
    found = streams(study, most=1)
    assert all(found.inputs(cell) == {} for cell in study.cells)
    found.write_specs()
    assert not Path(study.root).exists()


def test_finished_cells_are_not_put_together_unless_they_are_stale(study):
    alike = [cell for cell in study.cells if (cell.hookpoint, cell.seed) == ("resid", 0)]
    for cell in alike[:3]:
        finish(study, cell)
    finish(study, alike[3], train="of another recipe")
    files = by_file(study, streams(study), alike)
    assert files.pop("") == alike[:3]
    assert list(files.values()) == [alike[3:]]


def test_a_noted_cell_keeps_its_file_whatever_is_planned(study):
    cell, file = study.cells[0], "somewhere/together.json"
    note = {"together": file, "train": digest(study.train_spec(cell))}
    path = Path(study.cell_file(cell, ".state/stream.json"))
    path.parent.mkdir(parents=True)
    write_json(path, note)
    assert streams(study, most=1).inputs(cell) == {}  # neither is there
    finish(study, cell)
    for most in (1, 3):
        assert streams(study, most=most).inputs(cell) == {"together": file}
    write_json(path, note | {"train": "of another recipe"})
    assert streams(study).inputs(cell) == {}  # finished alone since
    finish(study, cell, train="of another recipe")
    assert streams(study).inputs(cell)["together"] != file
    path.write_text("damaged")
    assert streams(study, most=1).inputs(cell) == {}


def test_cells_that_are_named_are_put_together_and_no_others(study):
    alike = [cell for cell in study.cells if (cell.hookpoint, cell.seed) == ("resid", 0)]
    first, second, third = alike[:3]
    off_grid = replace(first, lam=0.77)
    names = [study.metrics(cell) for cell in (first, off_grid)]
    files = by_file(study, streams(study, *names), [first, off_grid, second, third])
    assert files.pop("") == [second, third]
    assert list(files.values()) == [[first, off_grid]]
    assert streams(study, names[0]).inputs(first) == {}
    for other in ("tables", study.report, study.cell_file(first, "other") + "/x"):
        assert streams(study, names[0], other).inputs(second) != {}


def test_a_job_finds_its_spec(study, tmp_path):
    found = streams(study)
    files = by_file(study, found, study.cells)
    found.write_specs()
    for file, cells in files.items():
        name = Path(file).stem.removeprefix("together-")
        spec = StreamSpec.argument(f"@{study.shared_spec('stream', name)}")
        assert [one.cell for one in spec.cells] == cells
        assert spec.cells[0] == study.train_spec(cells[0])
        assert file.startswith(str(Path(study.metrics(cells[0])).parent))
        assert read_json(study.shared_spec("stream", name)).keys() == {"cells"}


def test_a_job_of_the_plan_takes_the_streams_that_it_is_told(study):
    """It plans nothing anew, whatever is finished by then, and prefers the plan to older notes."""
    plan = streams(study)
    plan.write_specs()
    files = by_file(study, plan, study.cells)
    (file, cells), *others = files.items()
    digests = [Path(file).stem.removeprefix("together-")]
    finish(study, cells[0])
    job = Streams(study, list, 3, lambda: digests)
    assert by_file(study, job, cells) == {file: cells}
    assert all(by_file(study, job, other) == {"": other} for _, other in others)
    note = {"together": "an/older/file", "train": digest(study.train_spec(cells[0]))}
    path = Path(study.cell_file(cells[0], ".state/stream.json"))
    path.parent.mkdir(parents=True)
    write_json(path, note)
    assert job.inputs(cells[0]) == {"together": file}
    assert plan.inputs(cells[0]) == {"together": "an/older/file"}


def test_the_cells_of_a_stream_are_known_before_its_spec_is_written_and_after(study):
    plan = streams(study)
    for file, cells in by_file(study, plan, study.cells).items():
        name = Path(file).stem.removeprefix("together-")
        assert plan.cells(name) == cells
    plan.write_specs()
    assert streams(study, most=1).cells(name) == cells


def test_kept_weights_are_evaluated_and_not_put_together(study):
    cells = [cell for cell in study.cells if (cell.hookpoint, cell.seed) == ("resid", 0)]
    for cell, of in ((cells[0], cells[0]), (cells[1], cells[2])):
        path = Path(study.cell_file(cell, ".state/trained.json"))
        path.parent.mkdir(parents=True)
        write_json(path, {"made_from": {"train": digest(study.train_spec(of))}})
    files = by_file(study, streams(study), cells)
    assert files.pop("") == [cells[0]]
    assert sorted(c for together in files.values() for c in together) == cells[1:]
