"""A small study whose text has two sources, run by Snakemake from the text to the report."""

from __future__ import annotations

import pytest
import yaml

from pipeline.jobs.json_files import read_json
from pipeline.study.outputs import BY_SOURCE, SOURCES
from pipeline.study.study import Study
from pipeline.text.csv_files import read_table
from tests.e2e.conftest import Finished, Workflow
from tests.pipeline.whole_study import CONFIG

SIDES = {"candidate": {"variant": "sagsae_tied", "width": 16}}
SIDES["baseline"] = {"variant": "gated", "width": 32}


def configuration():
    """Two sources of random words, of which the second one is capped."""
    parts = [
        {"name": "few", "source": {"kind": "random", "documents": 60, "words": 20}},
        {
            "name": "capped",
            "source": {"kind": "random", "documents": 500, "words": 20, "vocabulary": 90},
            "max_documents": 120,
        },
    ]
    text = {"sources": parts, "context_length": 16, "heldout_fraction": 0.5}
    grid = [side | {"lambdas": [0.1, 0.2]} for side in SIDES.values()]
    changes = {"text": text, "grid": grid, "comparisons": [SIDES | {"matched_l0": [4]}]}
    return CONFIG | changes | {"hookpoints": ["resid"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    folder = tmp_path_factory.mktemp("sources")
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(configuration()))
    done = Workflow(folder, config).run()
    assert done.returncode == 0, done.stdout
    return Finished(folder, config, study=Study.load(config), output=done.stdout)


def test_shares_are_the_same_from_the_text_to_the_tables(finished):
    study = finished.study
    documents = read_json(finished.path(study.documents))
    few, capped = documents["sources"]
    assert [few["documents"], capped["documents"], capped["of_documents"]] == [60, 120, 500]
    tokens = read_json(finished.path(study.tokens("m", "heldout")))["sources"]
    assert [part["name"] for part in tokens] == ["few", "capped"]
    assert min(part["tokens"] for part in tokens) > 50
    table = read_table(finished.path(study.table(SOURCES)))
    assert len(table) == 2 * len(study.cells)
    for part in tokens:
        rows = table[table["source"] == part["name"]]
        assert rows["share"].nunique() == rows["train_share"].nunique() == 1
        assert rows["share"].iloc[0] == pytest.approx(part["share"], abs=0.05)
    assert table["r2"].notna().all()
    metrics = read_json(finished.path(study.metrics(study.cells[0])))
    parts = metrics["sources"].values()
    assert sum(part["rows"] for part in parts) == metrics["eval_tokens"]
    assert sum(part["ce_tokens"] for part in parts) == metrics["ce_tokens"]


def test_the_report_shows_them(finished):
    page = finished.path(finished.study.report).read_text(encoding="utf-8")
    assert "Kinds of text" in page
    compared = read_table(finished.path(finished.study.table(BY_SOURCE)))
    assert compared["source"].tolist() == ["capped", "few"]


def test_nothing_is_left_to_do_and_nothing_is_at_fault(finished):
    assert finished.planned() == {}
    done = finished.run("verify")
    assert "no fault; 4 of 4 cells finished" in done.stdout


def test_one_source_in_their_place_starts_the_study_again(finished):
    raw = configuration()
    raw["text"] |= {"source": raw["text"].pop("sources")[0]["source"] | {"documents": 200}}
    config = finished.folder / "one.yaml"
    config.write_text(yaml.safe_dump(raw))
    one = Workflow(finished.folder, config)
    planned = one.planned()
    assert (planned["documents"], planned["cell"]) == (1, 4)
    assert not {SOURCES, BY_SOURCE} & set(Study.load(config).tables)
