"""The latent browser as a target of the workflow."""

from __future__ import annotations

import json

import pytest
import yaml

from pipeline.jobs.json_files import read_json
from pipeline.study.browser import browser_specs
from pipeline.study.study import Study
from tests.e2e.conftest import Workflow
from tests.e2e.test_dial import SMALL
from tests.pipeline.cells.browser.test_collect import given

pytestmark = pytest.mark.long

PLAIN = {key: value for key, value in SMALL.items() if key != "dial"}


def workflow(folder, **changes) -> Workflow:
    config = folder / f"{'-'.join(['small', *changes])}.yaml"
    config.write_text(yaml.safe_dump(PLAIN | changes))
    return Workflow(folder, config)


def test_it_shows_both_sides_with_their_dial_and_then_another_cell(elsewhere):
    made = workflow(elsewhere.folder, browser={"top": 3}, dial=SMALL["dial"])
    planned = made.planned("browser")
    assert (planned["cell"], planned["dial_run"], planned["browser_cell"]) == (4, 1, 2)
    assert "make_tables" not in planned
    done = made.run("browser")
    assert done.returncode == 0, done.stdout[-4000:]
    study = Study.load(made.config)
    page = elsewhere.folder / study.browser_page
    catalog = given(page.with_name("catalog.js"))
    assert catalog["study"] == "small"
    assert [cell["variant"] for cell in catalog["cells"]] == ["SA-GSAE tied", "Gated"]
    for cell, file in zip(catalog["cells"], browser_specs(study), strict=True):
        folder = page.parent / cell["folder"]
        assert folder == (elsewhere.folder / file).parent
        assert read_json(folder / "cell.json")["name"] == cell["name"]
        assert len(given(folder / "index.js")["dials"]) == 2
    assert "<script" in page.read_text()
    assert made.planned("browser") == {}

    name = "m/resid/sagsae/w24_lam0.1_seed0"
    asked = f"browser={json.dumps({'cells': [name]})}"
    plain = workflow(elsewhere.folder)
    done = plain.run("browser", "--config", asked)
    assert done.returncode == 0, done.stdout[-4000:]
    (cell,) = given(page.with_name("catalog.js"))["cells"]
    assert cell["name"] == name
    assert cell["rival"].startswith("m/resid/gated/w48_lam")
