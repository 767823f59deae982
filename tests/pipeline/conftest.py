"""Made-up studies that tests of tables, figures and reports share."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.analysis.figure import figures_of
from tests.helpers.made_studies import make_study
from tests.helpers.made_study import MadeStudy

COLLAPSED = "large/resid/gated/w384_lam0.2_seed0"


@pytest.fixture
def made_study(tmp_path: Path) -> MadeStudy:
    """A fresh study of two seeds with metrics only; tests may damage it."""
    return make_study(tmp_path)


@pytest.fixture(scope="session")
def built_study(tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    """A finished study with one collapsed cell; read only."""
    study = make_study(tmp_path_factory.mktemp("built"))
    study.change(COLLAPSED, collapsed=["more than 95 % dead"])
    study.tables()
    study.make("claims")
    for name in figures_of(study.scope):
        study.figure(name)
    study.report()
    return study
