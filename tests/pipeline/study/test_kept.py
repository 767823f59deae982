"""Which cells somebody demands to be trained again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.study.kept import Kept
from pipeline.study.study import Study
from tests.pipeline.whole_study import CONFIG

STUDY = Study.from_dict(CONFIG)
CELL, OTHER = STUDY.cells[:2]
METRICS = STUDY.metrics(CELL)


def forced(**asked: Any) -> list[bool]:
    """Of the cell and of another one."""
    given = {"targets": [], "forcerun": [], "forcetargets": False, "forceall": False} | asked
    kept = Kept(STUDY, lambda: SimpleNamespace(**given), lambda _: True)
    return [kept.forced(CELL), kept.forced(OTHER)]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [False, False]),
        ({"targets": [METRICS]}, [False, False]),
        ({"targets": [METRICS], "forcetargets": True}, [True, False]),
        ({"targets": ["tables"], "forcetargets": True}, [False, False]),
        ({"forcerun": [METRICS]}, [True, False]),
        ({"forcerun": [STUDY.cell_file(CELL, "sae.safetensors")]}, [True, False]),
        ({"forcerun": ["cell"]}, [True, True]),
        ({"forcerun": ["dump"]}, [False, False]),
        ({"forceall": True}, [True, True]),
    ],
)
def test_a_cell_is_forced_by_name_by_rule_or_with_all(asked, found):
    assert forced(**asked) == found
