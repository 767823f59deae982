"""What figures of the synthetic protocols do beside drawing their tables, which
tests/pipeline/analysis/figures checks on published runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main as stage
from pipeline.analysis.figure import draw
from pipeline.jobs.json_files import write_json
from pipeline.study.measures import Measures
from pipeline.study.scope import Scope
from pipeline.study.synthetic import PROTOCOLS
from sagsae.files import signed

BINS = {"edge": 2.0, "counts": [5, 0, 0, 7], "silent": 80, "outside": 1, "latent": 3}
BINS |= {"least": [0.5, -0.6]}


def made(folder: Path, **shown: Any) -> tuple[Path, Scope, Measures]:
    """The tables of one seed of every protocol with one run."""
    row = {"setting": "superposition=0.5", "variant": "sagsae_tied", "multiple": 1.0, "width": 4}
    row |= {"lam": 0.1, "metrics": {"l0": 1.0, "target_l0": 1.0, "pcr": 0.5}} | shown
    bare = {"comparisons": [], "models": {}, "hookpoints": [], "study": "made"}
    names = {f"{protocol}_seed3": protocol for protocol in PROTOCOLS}
    jobs = {"made_for": {"synthetic": {name: {} for name in names}}}
    scope, measures = Scope.model_validate(bare | jobs), folder / "measures"
    write_json(measures / "study.json", scope.model_dump())
    lines = [
        json.dumps({"name": name, **signed({"protocol": protocol, "seed": 3, "rows": [row]})})
        for name, protocol in names.items()
    ]
    (measures / "synthetic.jsonl").write_text("\n".join(lines))
    stage(["tables", "--of=synthetic", f"--measures={measures}", f"--root={folder}"])
    return folder, scope, Measures(measures)


def test_the_histogram_has_its_bins_and_what_lies_beside_them(tmp_path):
    _, shown = draw("figure_7", *made(tmp_path, histogram=BINS))
    assert shown["count"].tolist() == [5, 0, 0, 7]
    assert shown["low"].tolist() == [-2, -1, 0, 1]
    assert shown["silent"].unique().tolist() == [80]


def test_without_a_consolidated_pair_there_is_no_histogram(tmp_path):
    with pytest.raises(ValueError, match="no latent serves both poles"):
        draw("figure_7", *made(tmp_path, histogram=None))
