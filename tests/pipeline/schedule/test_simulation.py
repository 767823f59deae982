"""Jobs on devices that share a disk: every time worked out by hand."""

from __future__ import annotations

from graphlib import CycleError

import pytest

from pipeline.schedule.jobs import Job, Phase
from pipeline.schedule.simulation import Head, Outcome, Simulation, bounds, longest_chain

GB = 1e9
ENOUGH = 1e18


def job(name: str, *phases: Phase | float, needs: str = "", devices: int = 1) -> Job:
    parts = tuple(p if isinstance(p, Phase) else Phase(p) for p in phases)
    return Job(name, "rule", parts, devices, frozenset(needs.split()))


def run(*jobs: Job, devices: int = 1, disk: float = ENOUGH, **head: float) -> Outcome:
    return Simulation(jobs, devices, disk, Head(**head)).run()


@pytest.mark.parametrize(("devices", "makespan"), [(1, 60), (2, 30), (3, 30), (6, 10)])
def test_alike_jobs_fill_the_devices(devices, makespan):
    jobs = [job(str(n), 10.0) for n in range(6)]
    found = run(*jobs, devices=devices)
    rounds = -(-6 // devices)
    assert found.makespan == pytest.approx(10 * rounds)
    assert found.utilisation == pytest.approx(6 / (devices * rounds))
    assert found.held == found.worked == pytest.approx(60)
    if devices != 3:
        assert found.makespan == pytest.approx(makespan)


def test_a_job_waits_for_those_that_it_needs():
    found = run(job("a", 5), job("b", 7), job("c", 1, needs="a b"), devices=8)
    assert found.makespan == pytest.approx(8)


def test_phases_follow_each_other():
    assert run(job("a", 1, 2, 3), devices=4).makespan == pytest.approx(6)


def test_two_that_want_more_than_the_disk_gives_share_it():
    """Each wants 3 GB/s of 4: both get 2, and take half as long again."""
    one = Phase(10, 30 * GB)
    found = run(job("a", one), job("b", one), devices=2, disk=4 * GB)
    assert found.makespan == pytest.approx(15)
    assert found.waited == pytest.approx(1 - 20 / 30)
    assert found.utilisation == pytest.approx(20 / 30)


def test_what_one_does_not_want_is_left_to_the_other():
    """Of 4 GB/s the modest one takes 1; the greedy one, which wants 6, gets 3: twice the time."""
    modest, greedy = Phase(20, 20 * GB), Phase(10, 60 * GB)
    found = run(job("a", modest), job("b", greedy), devices=2, disk=4 * GB)
    assert found.makespan == pytest.approx(20)
    assert found.held == pytest.approx(40)


def test_the_disk_is_free_again_when_a_job_ends():
    """Both at half speed until the short one is done at 4 s; then 8 s are left of the long one."""
    short, long = Phase(2, 4 * GB), Phase(10, 20 * GB)
    found = run(job("a", short), job("b", long), devices=2, disk=2 * GB)
    assert found.makespan == pytest.approx(4 + 8)


def test_a_job_that_comes_later_slows_those_that_run():
    """Alone for 5 s of its 10; then together at half speed: 10 s more, and 5 s of the other."""
    first, second = Phase(10, 20 * GB), Phase(10, 20 * GB)
    found = run(job("a", first), job("b", 5, second), devices=2, disk=2 * GB)
    assert found.makespan == pytest.approx(5 + 10 + 5)


def test_nobody_is_faster_than_alone():
    assert run(job("a", Phase(10, 1 * GB)), disk=ENOUGH).makespan == pytest.approx(10)


def test_a_wide_job_takes_several_devices_or_all_there_are():
    jobs = (job("a", 10, devices=2), job("b", 10), job("c", 10))
    assert run(*jobs, devices=2).makespan == pytest.approx(20)
    assert run(*jobs, devices=4).makespan == pytest.approx(10)
    found = run(job("a", 10, devices=16), devices=2)
    assert (found.makespan, found.utilisation) == (pytest.approx(10), pytest.approx(1))


def test_a_job_without_a_device_runs_beside_the_others():
    assert run(job("a", 10), job("b", 10, devices=0), devices=1).makespan == pytest.approx(10)


def test_plan_submission_and_notice_take_their_time():
    """Planned at 4, submitted at 5 and 6, ended at 16, noticed at 19, submitted at 20."""
    jobs = (job("a", 10), job("b", 10), job("c", 10, needs="b"))
    found = run(*jobs, devices=2, plan=4, submit=1, notice=3)
    assert found.makespan == pytest.approx(30)


def test_bounds_by_hand():
    jobs = [job("a", Phase(10, 8 * GB)), job("b", 20, needs="a"), job("c", 6, devices=4)]
    found = bounds(jobs, 2, 0.5 * GB, Head(plan=1, submit=2))
    assert found == {
        "devices": pytest.approx((10 + 20 + 12) / 2),
        "disk": pytest.approx(16),
        "longest chain": pytest.approx(30),
        "planning": pytest.approx(7),
    }


@pytest.mark.parametrize("devices", [1, 2, 3, 5])
def test_no_simulation_beats_its_bounds(devices):
    jobs = [job(f"s{n}", 1.0 + n) for n in range(3)]
    jobs += [
        job(f"c{n}", 2, Phase(3 + n % 4, (1 + n % 3) * GB), needs=f"s{n % 3}") for n in range(12)
    ]
    head = Head(plan=1, submit=0.1, notice=0.5)
    found = Simulation(jobs, devices, 0.7 * GB, head).run()
    assert found.makespan >= max(bounds(jobs, devices, 0.7 * GB, head).values())
    assert found.worked <= found.held <= devices * found.makespan


def test_the_longest_chain_goes_through_jobs_in_any_order():
    jobs = [job("c", 4, needs="b"), job("b", 2, needs="a"), job("a", 1), job("x", 5)]
    assert longest_chain(jobs) == pytest.approx(7)
    assert longest_chain([]) == 0


def test_what_cannot_run_is_refused():
    with pytest.raises(ValueError, match="a needs nobody, which no job makes"):
        run(job("a", 1, needs="nobody"))
    with pytest.raises(CycleError):
        run(job("a", 1, needs="b"), job("b", 1, needs="a"))
