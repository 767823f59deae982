"""Sections that say where curves go and in which formats results are change no specification."""

from __future__ import annotations

import pytest

from pipeline.jobs.json_files import digest
from pipeline.study.sections import ConfigError
from pipeline.study.study import Study
from tests.pipeline.made_grid import configuration


def study(**changes) -> Study:
    return Study.from_dict(configuration(**changes))


def test_trackers_are_in_no_specification_and_are_not_published():
    plain, tracked = study(), study(tracking=["wandb"])
    assert tracked.run.tracking == ["wandb"]
    assert tracked.shared_specs == plain.shared_specs
    cell = plain.cells[0]
    assert digest(tracked.train_spec(cell)) == digest(plain.train_spec(cell))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"formats": {"figures": ["eps"]}}, "formats.figures.0: Input should be 'svg' or 'pdf'"),
        ({"formats": {"figures": ["svg", "svg"]}}, "formats.figures: names one twice"),
        ({"tracking": ["comet"]}, "tracking.0: Input should be 'wandb', 'tensorboard' or"),
    ],
)
def test_what_is_unknown_is_refused(changes, told):
    with pytest.raises(ConfigError, match=told):
        study(**changes)
