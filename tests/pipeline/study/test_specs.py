"""Specifications: read back as they were written, and the same for today's studies for ever."""

from __future__ import annotations

import json

import pytest

from pipeline.jobs.json_files import canonical, digest
from pipeline.study.sections import ConfigError, Spec
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG

PINNED = {
    "local": (
        *("c84db704bfd4a416", "cf37484d6528f781", "e023857861c296f3", "52c3b8c8817b4c55"),
        *("84c9f2c311c0eeb6", "369332611ec07db6", "be06d471052a4b23", "389a5ec64bcb470d"),
    ),
    "reference-deep": (
        *("c84db704bfd4a416", "0a5e3a5ac767c4ef", "ff7d487aca9ef15a", "679d554eb53f9d65"),
        *("b7f5baff21305025", "2e2293fd78af5443", "f7218bb2a6dfcdd0", "1bca24f6c43adfdf"),
    ),
    "reference": (
        *("c84db704bfd4a416", "cf37484d6528f781", "920c3f6079e1ba26", "f100b6b56376c015"),
        *("e425216ad427144c", "109ead0d2fc5773e", "693c15b5489a1039", "1bca24f6c43adfdf"),
    ),
    "paper": (
        *("f55cc117dd08952e", "3c27d543148dfde2", "3333e3dbd61d6811", "d870e807ec8c3530"),
        *("cc3a7c2e3cec4dac", "0ed24176926bef3c", "17aaa1ffb55382c6", "1bca24f6c43adfdf"),
    ),
    "smoke": (
        *("0edb9194bc248d50", "bb39e9e37b2d7397", "65dc6b121d7949dc", "a88b5fea588efbc7"),
        *("56dc9788e552abae", "ea19451bace4841e", "861e4324934ec48d", "e64924ff1d122c8e"),
    ),
}
"""Digests of the specifications of the first cell. Another one makes every user train again."""


def specs(name: str) -> list[Spec]:
    """One specification of each stage of a shipped study."""
    study = Study.load(DEFAULT_CONFIG.with_name(f"{name}.yaml"))
    cell = study.cells[0]
    return [
        study.asset_spec(cell.model),
        study.text_spec(),
        study.token_spec(cell.model, "train"),
        study.dump_spec(cell.model, "heldout"),
        study.baseline_spec(cell.model),
        study.train_spec(cell),
        study.evaluate_spec(cell),
        study.synthetic_spec("consolidation", study.config.synthetic.seeds[0]),
    ]


@pytest.mark.parametrize("name", PINNED)
def test_the_texts_of_shipped_studies_stay(name):
    assert tuple(map(digest, specs(name))) == PINNED[name]


@pytest.mark.parametrize("name", PINNED)
def test_a_stage_reads_what_snakemake_wrote(name):
    for spec in specs(name):
        text = canonical(spec)
        assert canonical(type(spec).argument(text)) == text


@pytest.mark.parametrize("place", range(8))
def test_unknown_and_missing_keys_are_refused(place):
    spec = specs("smoke")[place]
    given = json.loads(canonical(spec))
    with pytest.raises(ConfigError, match="colour: unknown key"):
        type(spec).argument(json.dumps(given | {"colour": "red"}))
    del given[max(given.keys() - {"revision"})]
    with pytest.raises(ConfigError, match="Field required"):
        type(spec).argument(json.dumps(given))
