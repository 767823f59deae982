"""The example of several sources in the documentation, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG, load_yaml

PAGE = Path(__file__).parents[3] / "docs" / "text.md"


def test_the_example_is_a_configuration():
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)
    example, local = yaml.safe_load(block), load_yaml(DEFAULT_CONFIG)
    study = Study.from_dict(local | example | {"dump": local["dump"] | example["dump"]})
    assert study.config.text.names == ["wikipedia", "bible", "recipes", "chats"]
    assert study.config.text.sources[0].source == Study.load().config.text.source
    assert all(part.source.terms for part in study.config.text.sources)
