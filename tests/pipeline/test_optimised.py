"""Without docstrings and assertions (-OO) Python computes the same: no behaviour is in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pipeline.analysis.figure import all_figures, title_and_caption
from pipeline.claims.claim import load

ROOT = Path(__file__).parents[2]
TEXTS = """
from pipeline.analysis.figure import all_figures, title_and_caption
from pipeline.claims.claim import load
from pipeline.study.study import Study
claims = load("sa_gsae").CLAIMS
numbers = {claim.key: i for i, claim in enumerate(claims)}
print([claim.texts(numbers) for claim in claims], [*map(title_and_caption, all_figures())])
print(Study.load("workflow/configs/local.yaml").scope.digest)
"""


def test_texts_and_specifications_are_the_same_without_docstrings():
    said = [
        subprocess.run(
            [sys.executable, *options, "-c", TEXTS],
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ).stdout
        for options in ([], ["-OO"])
    ]
    assert said[0] == said[1]
    assert all(title for title, _ in map(title_and_caption, all_figures()))
    for claim in load("sa_gsae").CLAIMS:
        assert claim.statement
        assert claim.criterion
