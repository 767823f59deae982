"""The overview of a study on a terminal: bars for the cells and for each running job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.status.jobs import Job
from pipeline.status.overview import Overview, share
from pipeline.status.words import LISTED, ended, head, running, where

WIDE = 24
"""Columns of a bar."""


def drawn(found: Overview, now: float) -> RenderableType:
    """The overview, with bars in the place of some of its words."""
    done, total = len(found.of("finished")), len(found.cells)
    whole = _rows([("cells", done / max(total, 1), f"{done} of {total}")])
    jobs = running(found)
    parts: list[RenderableType] = [_text(head(found)), whole]
    if jobs:
        more = [Text(f"  and {len(jobs) - LISTED} more")] * (len(jobs) > LISTED)
        parts += [Text("\nrunning:", style="bold"), _rows(map(_row, jobs[:LISTED])), *more]
    return Group(*parts, _text(ended(found, now)))


def _text(lines: Iterator[str]) -> Text:
    return Text("\n".join(lines))


def _row(job: Job) -> tuple[str, float | None, str]:
    return job.name, share(job), where(job) if job.progress is not None else "starting"


def _rows(rows: Iterator[tuple[str, float | None, str]] | list) -> Table:
    """A name, a bar and a few words a row; without a share, the bar only moves."""
    table = Table.grid(padding=(0, 1))
    for name, part, words in rows:
        total = None if part is None else 1.0
        bar = ProgressBar(total=total, completed=part or 0.0, width=WIDE, pulse=part is None)
        table.add_row(Text(f"  {name}"), bar, Text(words))
    return table


def watch(look: Callable[[], tuple[Overview, float]], every: float) -> None:
    """Draw until every cell is finished or Ctrl-C is pressed; the last look stays on the screen."""
    found, now = look()
    with Live(drawn(found, now), console=Console(), auto_refresh=False) as live:
        while len(found.of("finished")) < len(found.cells):
            try:
                time.sleep(every)
            except KeyboardInterrupt:
                return
            found, now = look()
            live.update(drawn(found, now), refresh=True)
