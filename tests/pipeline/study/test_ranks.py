"""How many jobs fill a store, and that a finished one is not touched when their number changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.jobs.json_files import write_json
from pipeline.study import ranks as module
from pipeline.study.ranks import Ranks
from pipeline.study.study import Study
from tests.pipeline.whole_study import CONFIG, configuration

DUMP = CONFIG["dump"]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return study_of(tmp_path)


def study_of(folder: Path, **changes: Any) -> Study:
    return Study.from_dict(configuration(folder) | {"device": "auto"} | changes)


@pytest.fixture(autouse=True)
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "visible_devices", lambda: list("abcdefgh"))


def planned(study: Study, granted: int | None, **changes: Any) -> Ranks:
    values: dict[str, Any] = {"here": True, "planned": True, "recorded": None, "cores": 2} | changes
    here, recorded = values["here"], values["recorded"]
    made = Ranks(study, granted, values["cores"], here, values["planned"], lambda path: recorded)
    return made


@pytest.mark.parametrize(
    ("granted", "device", "here", "count"),
    [
        (None, "auto", True, 1),
        (0, "auto", True, 1),
        (1, "auto", True, 1),
        (4, "auto", True, 4),
        (4, "cuda", True, 4),
        (4, "cpu", True, 1),
        (20, "auto", True, 8),  # no more than GPUs here
        (20, "auto", False, 1),
        (None, "auto", False, 1),
    ],
)
def test_one_job_per_gpu(
    tmp_path: Path, granted: int | None, device: str, here: bool, count: int
) -> None:
    study = study_of(tmp_path, device=device, dump=DUMP | {"train_rows": 64 * 256})
    assert planned(study, granted, here=here).count("m", "train") == count


def test_without_a_gpu_one_job(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "visible_devices", list)
    assert planned(study, 4).count("m", "train") == 1
    assert planned(study, 4).inputs("m", "train") == []


def test_no_more_jobs_than_blocks(study: Study) -> None:
    """Two blocks of training rows, one of held-out ones."""
    assert planned(study, 4).inputs("m", "train") == [study.rank("m", "train", r) for r in (0, 1)]
    assert planned(study, 4).inputs("m", "heldout") == []
    assert planned(study, 1).inputs("m", "train") == []


@pytest.mark.parametrize(
    ("device", "granted", "count"), [("cpu", 4, 2), ("auto", 0, 2), ("auto", None, 1)]
)
def test_a_long_dump_on_the_cpu_has_a_job_per_core(
    tmp_path: Path,
    device: str,
    granted: int | None,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SmolLM2-135M at block 15: 2,300 tokens/s of one core, 30 s of it are 70,600 rows."""
    (model,) = configuration(tmp_path)["models"]
    models = [model | {"d_model": 576, "layer": 15}]
    sizes = {rows: DUMP | {"train_rows": rows * 256} for rows in (270, 280)}
    few, many = (
        study_of(tmp_path, device=device, models=models, dump=dump) for dump in sizes.values()
    )
    assert planned(few, granted).count("m", "train") == 1
    assert planned(few, 0, cores=6).threads_to_seal("m", "train") == 1
    assert planned(few, 4, cores=6).threads_to_seal("m", "train") == (1 if device == "cpu" else 16)
    assert planned(few, 0, here=False, cores=None).threads_to_seal("m", "train") == 16
    assert planned(many, 0, cores=6).threads_to_seal("m", "train") == 16, "it reads"
    assert planned(many, granted).count("m", "train") == count
    assert planned(many, 0, here=False).count("m", "train") == 1
    assert planned(many, 0, cores=None).count("m", "train") == 1
    assert planned(many, 0, cores=6).count("m", "train") == 6
    assert planned(many, 0, cores=6).threads("m", "train") == 1
    monkeypatch.setattr(module, "memory", lambda: 5 * 10**9)
    assert planned(many, 0, cores=6).count("m", "train") == 3, "more models than memory holds"
    assert planned(many, 0, cores=6).threads("m", "train") == 2


@pytest.mark.parametrize(
    ("granted", "cores", "threads"),
    [(4, 16, 4), (4, 2, 1), (None, 64, 16), (3, 16, 5), (4, None, 4)],
)
def test_threads_let_all_of_them_run(
    tmp_path: Path, granted: int | None, cores: int | None, threads: int
) -> None:
    study = study_of(tmp_path, dump=DUMP | {"train_rows": 64 * 256})
    assert planned(study, granted, cores=cores).threads("m", "train") == threads


def test_a_finished_store_keeps_its_inputs(study: Study) -> None:
    manifest, spec = study.manifest_and_digest("m", "train")
    inputs = [study.asset("m"), study.rank("m", "train", 1), study.rank("m", "train", 0)]
    for content, expected in (({"spec": spec}, 2), ({"spec": "another"}, 0), ({}, 0)):
        write_json(manifest, content)
        found = planned(study, None, recorded=inputs).inputs("m", "train")
        assert found == [study.rank("m", "train", rank) for rank in range(expected)]
    write_json(manifest, {"spec": spec})
    assert planned(study, 4, recorded=None).inputs("m", "train") == [], "of a clone"
    Path(manifest).write_text("damaged")
    assert len(planned(study, 4, recorded=None).inputs("m", "train")) == 2


def test_a_job_elsewhere_takes_the_files_that_are_there(study: Study) -> None:
    assert planned(study, None, planned=False).inputs("m", "train") == []
    for rank in (2, 0):
        write_json(study.rank("m", "train", rank), {})
    write_json(study.rank("m", "heldout", 1), {})
    found = planned(study, None, planned=False).inputs("m", "train")
    assert found == [study.rank("m", "train", rank) for rank in (0, 2)]
