"""Bars on a terminal, plain lines in a log, and a terminal that is given back."""

from __future__ import annotations

import pytest

from tests.pipeline.terminal import on_terminal, plain

NESTED = """
import time
from pipeline.jobs.progress import Progress, say
outer = Progress("cache verify", 3, "entries")
for done in (1, 2, 3):
    inner = Progress(f"verify store-{done}", 200, "chunks")
    for chunk in (50, 200):
        inner.update(chunk, "[all well]")
        time.sleep(0.15)
    say(f"a line of entry {done}")
    outer.update(done)
print("the end")
"""
FAILING = """
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import run_stage
def main():
    Progress("dump x", 100, "rows").update(30)
    raise {error}
run_stage(main)
"""
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"


def test_bars_on_a_terminal():
    status, printed = on_terminal("-c", NESTED)
    text = plain(printed)
    assert status == 0
    assert "━" in text
    for part in ("cache verify", "1/3 entries", "verify store-2", "50/200 chunks", "[all well]"):
        assert part in text, part
    assert [f"a line of entry {n}" in text for n in (1, 2, 3)] == [True] * 3
    last = [line for line in text.splitlines() if line.strip()][-2:]
    assert "3/3 entries" in last[0]
    assert last[1] == "the end"


def test_the_terminal_is_given_back():
    _, printed = on_terminal("-c", NESTED)
    assert printed.count(HIDDEN) == printed.count(SHOWN) > 0
    assert printed.rindex(SHOWN) < printed.rindex("the end")


@pytest.mark.parametrize(
    ("error", "told"),
    [("ValueError('too hot')", "error: ValueError: too hot"), ("KeyboardInterrupt", "")],
)
def test_a_stage_that_fails_gives_it_back_too(error, told):
    status, printed = on_terminal("-c", FAILING.format(error=error))
    assert status != 0
    assert printed.count(HIDDEN) == printed.count(SHOWN) == 1
    assert "30/100 rows" in plain(printed)
    assert told in plain(printed)
    assert printed.index(SHOWN) < printed.rindex(told or "KeyboardInterrupt")
