"""Specifications: read back as they were written, and the same for today's studies for ever."""

from __future__ import annotations

import json

import pytest

from pipeline.config.specs import Spec
from pipeline.config.study_config import DEFAULT_CONFIG, ConfigError
from pipeline.jobs.json_files import canonical, digest
from pipeline.study.study import Study

PINNED = {
    "local": (
        *("dbd4384528847600", "56286f276a04f8b5", "bf67d33748609b72", "661556742255e267"),
        *("7d08dd266256e9e8", "01911150165af665", "e1d38bbc455017da", "6f1a8697a7495223"),
    ),
    "reference-deep": (
        *("dbd4384528847600", "79b4e73a06381aca", "95c796a372521de9", "88e5657756884e7d"),
        *("e6fbd68a34c5f1c7", "9633b71f33a02381", "146b493ff8744d23", "1f761b53e79f1827"),
    ),
    "reference": (
        *("dbd4384528847600", "56286f276a04f8b5", "e7bf7dc7daf01c32", "07cc1e665366f55c"),
        *("6760414259057071", "f7369d7732628764", "ef14575e1351cf98", "1f761b53e79f1827"),
    ),
    "paper": (
        *("f55cc117dd08952e", "3c27d543148dfde2", "3333e3dbd61d6811", "bd4352c37d45c5e0"),
        *("3150be5328a8cf30", "1887f90b7ac2dcfa", "25354758407dc775", "1f761b53e79f1827"),
    ),
    "smoke": (
        *("0edb9194bc248d50", "bb39e9e37b2d7397", "65dc6b121d7949dc", "2530e2f7510ca1be"),
        *("8d31ffa2fa0e20ec", "947ee44c4d49702b", "21b3170e0dcb69ca", "8f673d54dbad3ea0"),
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
