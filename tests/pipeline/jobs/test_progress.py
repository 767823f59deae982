"""Progress lines: rate, time left, and not too many of them."""

from __future__ import annotations

import pytest

from pipeline.jobs import progress
from pipeline.jobs.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rate_and_time_left(clock, capsys):
    line = Progress("train x", 10_000, "tokens")
    clock[0] += 17
    line.update(2_000)  # of an earlier run, whose rate is not this one's
    assert capsys.readouterr().err == "train x: 2,000/10,000 tokens\n"
    clock[0] += 10
    line.update(4_000, "loss 0.5")
    assert capsys.readouterr().err == ("train x: 4,000/10,000 tokens, 200/s, ETA 30 s, loss 0.5\n")
    clock[0] += 1000
    line.update(5_000)
    assert "ETA 28 min" in capsys.readouterr().err


def test_a_line_every_few_seconds_and_one_at_the_end(clock, capsys):
    line = Progress("dump y", 100, "rows")
    for done in range(1, 101):
        clock[0] += 1
        line.update(done)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "dump y: 100/100 rows, 1/s, done in 100 s"


def test_all_at_once_counts_from_the_start(clock, capsys):
    line = Progress("verify z", 500, "chunks")
    clock[0] += 5
    line.update(500)
    assert capsys.readouterr().err == "verify z: 500/500 chunks, 100/s, done in 5 s\n"
