"""The jobs of a study with what they take, and what a profile makes of them, by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.cost.estimate import stages
from pipeline.cost.rates import Rates
from pipeline.schedule.jobs import Grouping, Job, JobsOf, Phase
from pipeline.study.study import Study

CONFIGS = Path(__file__).resolve().parents[3] / "workflow" / "configs"


@pytest.fixture(scope="module")
def rates() -> Rates:
    return Rates.read()


@pytest.fixture(scope="module")
def paper() -> Study:
    return Study.load(CONFIGS / "paper.yaml")


def job(name: str, rule: str, *needs: str, seconds: float = 1.0) -> Job:
    return Job(name, rule, (Phase(seconds),), 1, frozenset(needs))


def counted(jobs: list[Job]) -> Counter[str]:
    return Counter(one.rule for one in jobs)


def test_the_paper_has_the_jobs_that_snakemake_plans(paper, rates):
    """As tests/e2e/test_cluster_plans.py has them from a dry run."""
    found = counted(JobsOf(paper, rates, rates.device("h100")).all())
    assert found == {
        "tokens": 4,
        "dump": 4,
        "baselines": 2,
        "train_together": 324,
        "cell": 1944,
        "dial_run": 36,
        "tables": 1,
    }


def test_the_paper_on_slurm_is_fewer_than_500_jobs_of_ten_minutes_to_twelve_hours(paper, rates):
    jobs = JobsOf(paper, rates, rates.device("h100")).all()
    found = [one for one in Grouping.read().submissions(jobs) if not one.local]
    assert counted(found) == {"store": 2, "stream": 324, "dial": 6}
    assert sum(one.members for one in found) == len(jobs) - 1
    assert min(one.seconds for one in found) > 10 * 60
    assert max(one.seconds for one in found) < 12 * 3600


@pytest.mark.parametrize("name", ["paper", "local", "reference", "competitors"])
@pytest.mark.parametrize("device", ["h100", "cpu-core"])
def test_device_hours_are_those_of_the_estimate(name, device, rates):
    """But for the disk, which the estimate does not know, and the start of evaluations."""
    study, known = Study.load(CONFIGS / f"{name}.yaml"), rates.device(device)
    cluster = rates.cluster.model_copy(update={"job_gb_per_second": 1e9})
    fast = rates.model_copy(update={"cluster": cluster})
    jobs = JobsOf(study, fast, known).all()
    hours = sum(one.seconds for one in jobs if one.rule not in ("tokens", "tables")) / 3600
    assert hours == pytest.approx(sum(one.hours(known) for one in stages(study, rates)), rel=1e-3)


def test_bytes_are_those_that_stores_and_streams_have(paper, rates):
    jobs = JobsOf(paper, rates, rates.device("h100")).all()
    moved = {rule: sum(j.moved for j in jobs if j.rule == rule) for rule in counted(jobs)}
    store = 3 * 2048 * 2 * (52428800 + 524288)
    assert moved["dump"] == pytest.approx(2 * 2 * store)  # written, and read to be sealed
    assert moved["train_together"] == 324 * 209715200 * 4096
    assert moved["cell"] == 1944 * 524288 * 4096


def test_a_job_needs_what_snakemake_makes_it_wait_for(rates):
    study = Study.load(CONFIGS / "smoke.yaml")
    jobs = {one.name: one for one in JobsOf(study, rates, rates.device("cpu-core")).all()}
    model = "tiny-smollm3"
    dump = jobs[study.manifest(model, "heldout")]
    assert dump.needs == {study.tokens(model, "train"), study.tokens(model, "heldout")}
    assert jobs[study.baselines(model)].needs == {
        study.manifest(model, "train"),
        study.manifest(model, "heldout"),
    }
    cell = next(one for one in study.cells if one.model == model)
    assert jobs[study.metrics(cell)].needs == {
        *jobs[study.baselines(model)].needs,
        study.baselines(model),
    }
    assert jobs["tables"].needs == {study.metrics(c) for c in study.cells} | set(study.dials)
    assert jobs["tables"].local
    assert {one.devices for one in jobs.values() if one.rule == "dump"} == {16}


def test_a_group_is_what_depends_on_each_other_in_it():
    jobs = [
        job("s", "dump"),
        job("t1", "train", "s"),
        job("c1", "cell", "t1"),
        job("c2", "cell", "t1", seconds=5),
        job("t2", "train", "s"),
        job("c3", "cell", "t2"),
        job("end", "tables", "c1", "c2", "c3"),
    ]
    found = Grouping({"train": "stream", "cell": "stream"}, {}).submissions(jobs)
    assert [(one.rule, one.members, one.seconds) for one in found] == [
        ("dump", 1, 1),
        ("stream", 3, 7),
        ("stream", 2, 2),
        ("tables", 1, 1),
    ]
    first, one, other, last = found
    assert (one.needs, other.needs) == ({first.name}, {first.name})
    assert last.needs == {one.name, other.name}


def test_several_components_make_one_submission():
    jobs = [job(f"d{n}", "dial", f"c{n}") for n in range(5)] + [
        job(f"c{n}", "cell") for n in range(5)
    ]
    found = Grouping({"dial": "dial"}, {"dial": 2}).submissions(jobs)
    sizes = [one.members for one in found if one.rule == "dial"]
    assert sizes == [2, 2, 1]
    together = next(one for one in found if one.rule == "dial")
    assert together.needs == {"c0", "c1"}


def test_without_groups_every_job_is_its_own():
    jobs = [job("a", "x"), job("b", "x", "a")]
    assert Grouping({}, {}).submissions(jobs) == jobs


def test_a_profile_is_read(tmp_path):
    profile = tmp_path / "profile.yaml"
    profile.write_text("groups: [a=g, b=g]\ngroup-components: [g=3]\njobs: 7\n")
    assert Grouping.read(profile) == Grouping({"a": "g", "b": "g"}, {"g": 3})
    profile.write_text("jobs: 7\n")
    assert Grouping.read(profile) == Grouping({}, {})


def test_probes_wait_for_the_cells_that_they_probe(rates):
    raw = Study.load(CONFIGS / "smoke.yaml").config.model_dump()
    study = Study.from_dict(raw | {"probe": {"hookpoints": ["resid"]}})
    jobs = {one.name: one for one in JobsOf(study, rates, rates.device("cpu-core")).all()}
    assert len(study.probes) == 2
    for file, spec in study.probes.items():
        assert jobs[file].needs == {study.metrics(cell) for cell in spec.cells}
        assert (jobs[file].rule, jobs[file].devices) == ("probe_run", 1)
        assert file in jobs["tables"].needs
    grouped = Grouping.read()
    assert grouped.groups["probe_run"] == "probe"
    assert grouped.components["probe"] == 6
