"""The tools on stores: copies for other programs, and statistics."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import load_from_disk
from safetensors.torch import load_file

from pipeline.__main__ import main
from pipeline.jobs.stage import run_stage
from pipeline.stores.arrow import export_dataset
from sagsae.activations import Store, iterate
from tests.peers import environment
from tests.sagsae.activations.activation_samples import contents, small_config, write_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(write_store(tmp_path / "store", small_config()))


def tool(*arguments: object) -> str:
    """What ended a tool; empty where nothing did."""
    try:
        run_stage(lambda: main([*map(str, arguments)]))
    except SystemExit as stop:
        return str(stop.code)
    return ""


def rows(store: Store, name: str) -> torch.Tensor:
    return torch.cat([batch.float() for batch in iterate(store, name, 64)])


def test_another_layout(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = ["--profile", "disk", "--rows-per-chunk", 32, "--sharded", "yes"]
    assert not tool(
        "convert-store", store.path, "--to", "store", "--out", tmp_path / "new", *options
    )
    (made,) = (tmp_path / "new").iterdir()
    copy = Store.open(made)
    config = copy.config
    assert (config.profile, config.rows_per_chunk, config.sharded) == ("disk", 32, True)
    assert torch.equal(rows(copy, "resid"), rows(store, "resid"))
    assert f"{made}: 256 rows, verified" in capsys.readouterr().err
    before = contents(made)
    assert not tool(
        "convert-store", store.path, "--to", "store", "--out", tmp_path / "new", *options
    )
    assert contents(made) == before


def test_safetensors(store: Store, tmp_path: Path) -> None:
    assert not tool("convert-store", store.path, "--to", "safetensors", "--out", tmp_path / "rows")
    files = sorted((tmp_path / "rows").glob("*.safetensors"))
    found = torch.cat([load_file(file)["attn"] for file in files])
    assert torch.equal(found.float(), rows(store, "attn"))


def test_what_a_dataset_needs(store: Store, tmp_path: Path) -> None:
    arguments = ["convert-store", store.path, "--to", "saelens", "--out"]
    assert "has attn, resid" in tool(*arguments, tmp_path / "d")
    assert "has attn, resid" in tool(*arguments, tmp_path / "d", "--hookpoint", "mlp")
    known = [tmp_path / "d", "--hookpoint", "attn"]
    assert "does not divide the 64 rows" in tool(*arguments, *known, "--context-size", 24)
    assert "reads its datasets from a folder" in tool(*arguments, "s3://bucket/x", *known[1:])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    known[0] = tmp_path / "full"
    assert "is not empty" in tool(*arguments, *known, "--context-size", 16)


def test_saelens_reads_it(store: Store, tmp_path: Path) -> None:
    name, out = "blocks.3.hook_resid_post", tmp_path / "dataset"
    options = ["--hookpoint", "resid", "--hook-name", name, "--context-size", 16]
    assert not tool("convert-store", store.path, "--to", "saelens", "--out", out, *options)
    dataset = load_from_disk(str(out)).with_format("torch")
    assert dataset.column_names == [name, "token_ids"]
    assert dataset[name][:].shape == (16, 16, 12)
    environment.run("rows_saelens.py", out, name, "16", "12", tmp_path / "found")
    found, mine = load_file(tmp_path / "found"), rows(store, "resid")
    assert torch.equal(found["x"], mine)
    tokens = [store.read_tokens(block)["token_id"] for block in store.blocks]
    assert found["tokens"].tolist() == [value for block in tokens for value in block.tolist()]
    assert all((mine == row).all(dim=1).any() for row in found["batch"])


def test_a_dataset_goes_on_where_it_was_killed(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    export_dataset(store, "resid", out, "x", 16)
    sound = contents(out)
    (out / "state.json").unlink()
    (out / "data-00002-of-00004.arrow").unlink()
    first = out / "data-00000-of-00004.arrow"
    when = first.stat().st_mtime_ns
    export_dataset(store, "resid", out, "x", 16)
    assert contents(out).keys() == sound.keys()
    assert first.stat().st_mtime_ns == when
    with pytest.raises(ValueError, match="holds another dataset"):
        export_dataset(store, "attn", out, "x", 16)


def test_statistics(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "features.csv"
    assert not tool("statistics", store.path, "--out", out)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in shown[1:]] == [
        ["attn", "256", "8"],
        ["resid", "256", "12"],
    ]
    table = pd.read_csv(out)
    assert len(table) == 20
    mine, row = rows(store, "resid").double(), table[table.hookpoint == "resid"].iloc[7]
    assert row["mean"] == pytest.approx(float(mine[:, 7].mean()))
    assert row["sd"] == pytest.approx(float(mine[:, 7].std(correction=0)))
    assert (row["min"], row["max"]) == (mine[:, 7].min(), mine[:, 7].max())
    assert tool("statistics", tmp_path / "absent").startswith("error: StoreError: no activation")
