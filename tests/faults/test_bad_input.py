"""Configurations at volume: valid ones plan, faulty ones are refused by the names of the fields."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pipeline.config.spelling import CellNameError
from pipeline.config.study_config import ConfigError
from pipeline.jobs.json_files import canonical
from pipeline.study.cell import Cell
from pipeline.study.grid import COMMAND_BYTES
from pipeline.study.study import Study
from tests.e2e.conftest import Workflow
from tests.faults.campaign import Campaign
from tests.pipeline.config.faulty import (
    KINDS,
    NO_NAME,
    Fault,
    contradictions,
    places,
    wrong_keys,
    wrong_values,
)
from tests.pipeline.config.strategies import (
    Config,
    cells,
    cells_expected,
    configurations,
    models_used,
    respelt,
)

Check = Callable[[Any], None]


def missed_by(campaign: Campaign, times: int, strategy: st.SearchStrategy[Any], check: Check):
    """Run a check on as many generated values as asked for.

    Returns:
        How many there were, and what was wrong with those that the check did not pass.
    """
    done, missed = [0], []

    @seed(campaign.seed)
    @settings(
        max_examples=times,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        done[0] += 1
        try:
            check(value)
        except Exception as error:
            missed.append(f"{type(error).__name__}: {error}\n{value!r}")

    run()
    return done[0], missed


def specifications(study: Study) -> list[Any]:
    """What every stage is given on its command line."""
    models, splits = list(study.models), ("train", "heldout")
    return [
        study.text_spec(),
        *(study.asset_spec(model) for model in models),
        *(study.baseline_spec(model) for model in models),
        *(study.token_spec(model, split) for model in models for split in splits),
        *(study.dump_spec(model, split) for model in models for split in splits),
        *(study.train_spec(cell) for cell in study.cells),
        *(study.evaluate_spec(cell) for cell in study.cells),
    ]


def outputs(study: Study) -> list[str]:
    """Every path that Snakemake may make."""
    models, splits = list(study.models), ("train", "heldout")
    files = ("metrics.json", "sae.safetensors", "training.json", "curve.parquet")
    files += ("latents.safetensors",)
    return [
        study.documents,
        study.report,
        *study.shared_specs.values(),
        study.log("report"),
        study.figure("r2"),
        study.table("cells.csv"),
        *(study.asset(model) for model in models),
        *(study.baselines(model) for model in models),
        *(study.tokens(model, split) for model in models for split in splits),
        *(study.manifest(model, split) for model in models for split in splits),
        *(study.cell_file(cell, name) for cell in study.cells for name in files),
    ]


def check_plan(config: Config) -> None:
    """A valid configuration plans what it asks for, below its folder."""
    study = Study.from_dict(copy.deepcopy(config))
    assert len(study.cells) == len(set(study.cells)) == cells_expected(config)
    assert [Cell.from_path(cell.path) for cell in study.cells] == study.cells
    for text in map(canonical, specifications(study)):
        assert canonical(json.loads(text)) == text
        assert len(quote(text)) <= COMMAND_BYTES
    root = PurePosixPath(config.get("results", "results")) / config["study"]
    for path in outputs(study):
        inside = PurePosixPath(path).relative_to(root).parts
        assert len(inside) > 0
        assert not {".", "..", ""} & set(inside)


def test_valid_configurations_plan(campaign: Campaign) -> None:
    kinds: Counter[str] = Counter()

    def check(config: Config) -> None:
        kinds.update({kind for _, kind in places(config)})
        check_plan(config)

    wanted = campaign.times(full=2200, short=150)
    done, missed = missed_by(campaign, wanted, configurations(), check)
    planned = done - len(missed)
    campaign.record("valid configuration", injected=done, detected=0, recovered=planned)
    assert missed == [], missed[0]
    assert done == wanted
    assert set(kinds) == set(KINDS)


def test_files_say_the_same_as_what_they_were_written_from(
    campaign: Campaign, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"

    def check(config: Config) -> None:
        file.write_text(yaml.safe_dump(config, sort_keys=True))
        assert Study.load(file).config == Study.from_dict(config).config

    wanted = campaign.times(full=200, short=20)
    done, missed = missed_by(campaign, wanted, configurations(), check)
    planned = done - len(missed)
    campaign.record("valid configuration, in a file", injected=done, detected=0, recovered=planned)
    assert missed == [], missed[0]


def check_refusal(example: tuple[Config, Fault]) -> None:
    """A faulty configuration is refused by the names of its fields, and plans once mended."""
    config, (faulty, paths) = example
    try:
        Study.from_dict(faulty)
    except ConfigError as error:
        lines = str(error).splitlines()
    else:
        raise AssertionError(f"not refused: {paths}")
    for path in paths:
        assert any(line.startswith(f"  {path}: ") for line in lines), (path, lines)
    assert int(lines[0].split()[-2]) == len(lines) - 1 >= len(paths)
    Study.from_dict(config)


def test_faulty_configurations_are_refused_by_field(campaign: Campaign) -> None:
    def with_config(fault: Callable[..., Any], *most: int) -> st.SearchStrategy[Any]:
        return configurations().flatmap(lambda c: st.tuples(st.just(c), fault(c, *most)))

    kinds = {
        "wrong value of one field": (with_config(wrong_values, 1), 1200, 70),
        "wrong values of several fields": (with_config(wrong_values, 5), 500, 35),
        "unknown or missing key": (with_config(wrong_keys), 300, 20),
        "fields that contradict each other": (with_config(contradictions), 300, 25),
    }
    faults = []
    for kind, (strategy, full, short) in kinds.items():
        wanted = campaign.times(full=full, short=short)
        done, missed = missed_by(campaign, wanted, strategy, check_refusal)
        refused = done - len(missed)
        campaign.record(f"{kind}", injected=done, detected=refused, recovered=refused)
        faults += missed + ([f"{kind}: {done} of {wanted}"] if done != wanted else [])
    assert faults == [], faults[0]


def test_snakemake_plans_valid_configurations(campaign: Campaign, tmp_path: Path) -> None:
    def check(config: Config) -> None:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        jobs, models = Workflow(tmp_path, file).planned(), len(models_used(config))
        expected = {"cell": cells_expected(config), "dump": 2 * models, "asset": models}
        assert {rule: jobs[rule] for rule in expected} == expected

    wanted = campaign.times(full=25, short=3)
    done, missed = missed_by(campaign, wanted, configurations(), check)
    planned = done - len(missed)
    campaign.record("valid configuration, Snakemake", injected=done, detected=0, recovered=planned)
    assert missed == [], missed[0]
    assert done == wanted


def check_respelling(example: tuple[Cell, dict[str, str], str]) -> None:
    cell, text, right = example
    assert Cell.from_path(cell.path) == cell
    with pytest.raises(CellNameError, match=f"ask for {re.escape(right)}$"):
        Cell.parse(**text)


def check_any_text(text: str) -> None:
    """Any text is refused as a name, or is the name of a cell in a folder of its own."""
    try:
        cell = Cell.from_path(text)
    except CellNameError:
        return
    assert cell.path == text
    name, word = "[A-Za-z0-9][A-Za-z0-9_-]*", "[A-Za-z_][A-Za-z0-9_]*"
    foreign = rf"{word}(\.{word})*:{word}"  # another package's variant: my_package.module:Class
    tail = r"w[0-9]+_(lam[0-9.e+-]+|k[0-9]+)_seed[0-9]+"
    assert re.fullmatch(rf"({name}/){{2}}({name}|{foreign})(@{name})?/{tail}", text)


def check_folder_name(example: tuple[Cell, str, str]) -> None:
    cell, field, name = example
    text = cell.words | {field: name}
    with pytest.raises(CellNameError, match=f"^{field} "):
        Cell.parse(**text)


def test_cell_names(campaign: Campaign) -> None:
    parts = st.sampled_from(["..", "/", "w8", "_lam", "0.1", "_seed", "0", "attn", "\0", "\n"])
    garbled = st.lists(parts, max_size=14).map("".join)
    cut = st.tuples(cells, st.integers(0, 60), st.text(max_size=2)).map(
        lambda part: part[0].path[: part[1]] + part[2] + part[0].path[part[1] :]
    )
    no_names = [name for name in NO_NAME if isinstance(name, str)]
    fields = st.sampled_from(["model", "hookpoint", "variant"])
    kinds: dict[str, tuple[st.SearchStrategy[Any], Check]] = {
        "cell name, another spelling": (respelt(), check_respelling),
        "cell name, any text": (st.text() | garbled | cut, check_any_text),
        "cell name, a folder elsewhere": (
            st.tuples(cells, fields, st.sampled_from([*no_names, "..", ".", "/", "a\0"])),
            check_folder_name,
        ),
    }
    faults = []
    for kind, (strategy, check) in kinds.items():
        wanted = campaign.times(full=1000, short=100)
        done, missed = missed_by(campaign, wanted, strategy, check)
        right = done - len(missed)
        campaign.record(kind, injected=done, detected=right, recovered=right)
        faults += missed
    assert faults == [], faults[0]
