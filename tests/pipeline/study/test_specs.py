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
        *("c84db704bfd4a416", "cf37484d6528f781", "33d736b72c13efe5", "6f0f3d862a2d2c2e"),
        *("ef8116ca9fd5d1b6", "029d9348850ff987", "bf43ce079bad6dcf", "c9a5f64e943096b6"),
    ),
    "reference-deep": (
        *("c84db704bfd4a416", "d0ffeddd40549d04", "25ea553449a8fedc", "39dcc2a74751c010"),
        *("88247338f7d7a2d7", "741553010ed1c2ed", "6b96dbd34d62d33d", "c2c72120815b9f68"),
    ),
    "reference": (
        *("c84db704bfd4a416", "cf37484d6528f781", "920c3f6079e1ba26", "63c2995d8f0e1a3e"),
        *("65c9082c98af461c", "ddd3a8ae7eb8f1cc", "c28f0ee0608429b8", "c2c72120815b9f68"),
    ),
    "paper": (
        *("f55cc117dd08952e", "57895755d3c7df5e", "d9e1d3d4463641a3", "0f74690b00ec5249"),
        *("347b0fa4321fec75", "15d231581497c19f", "03a17c91704414a6", "c2c72120815b9f68"),
    ),
    "smoke": (
        *("b06543558ef52b03", "415c1f90c79f9f61", "1e83e2856025ad49", "a8c8247be6dbfcc2"),
        *("c492933ad58c3729", "d599ef1901c26f61", "acaa8039c8363527", "8b9803bffeca3414"),
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
