"""Tables that people read: a bar in a text or a column's name is no border of a cell."""

from __future__ import annotations

import re

from pipeline.text.numbers import Grid
from pipeline.text.pages import markdown


def test_each_row_of_a_pipe_table_has_as_many_cells_as_columns():
    grid = Grid(title="T", columns=("a", "mean |x|", "b"), rows=(("1", "x | y", "2"),) * 2)
    lines = markdown(grid).splitlines()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [4, 4, 4, 4]
    assert r"mean \|x\|" in lines[0]
    assert r"x \| y" in lines[2]
