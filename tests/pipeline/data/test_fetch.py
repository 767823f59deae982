"""Random models and folders become assets; the command line."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from pipeline.data import fetch as assets
from pipeline.data.wheels import AssetError
from pipeline.jobs.json_files import canonical, digest, read_json
from sagsae.files import FileLock
from tests.pipeline.data.small_assets import (
    model_spec,
    random_source,
    text_spec,
)


def test_random_models_are_reproducible(tmp_path):
    made = {}
    for name, source in {
        "one": random_source(),
        "again": random_source(),
        "other": random_source(seed=1),
    }.items():
        torch.manual_seed(len(made))  # the caller's generator plays no part
        made[name] = assets.make_model(model_spec(source), tmp_path / name / "asset.json")
    assert made["one"] == made["again"]
    assert made["one"]["weights_sha256"] != made["other"]["weights_sha256"]
    assert made["one"]["tokenizer_sha256"] != made["other"]["tokenizer_sha256"]


def test_folders_are_used_in_place(tmp_path, monkeypatch):
    assets.make_model(model_spec(random_source()), tmp_path / "mine" / "asset.json")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "study" / "assets" / "asset.json"
    for given, recorded in (
        ("mine/model", "../../mine/model"),
        (str(tmp_path / "mine" / "model"), str(tmp_path / "mine" / "model")),
    ):
        asset = assets.make_model(model_spec({"kind": "path", "path": given}), out)
        assert asset["folder"] == recorded
        assert assets.model_folder(out).resolve() == tmp_path / "mine" / "model"


def test_bad_folders(tmp_path):
    assets.make_model(model_spec(random_source()), tmp_path / "mine" / "asset.json")
    folder = tmp_path / "mine" / "model"
    spec = model_spec({"kind": "path", "path": str(folder)})
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(AssetError, match=f"{folder}: there is no tokenizer"):
        assets.make_model(spec, tmp_path / "asset.json")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(AssetError, match=f"{folder}: there are no .*safetensors"):
        assets.make_model(spec, tmp_path / "asset.json")
    shutil.rmtree(folder)
    with pytest.raises(AssetError, match=f"{folder}: no such model folder"):
        assets.make_model(spec, tmp_path / "asset.json")
    assert not (tmp_path / "asset.json").exists()


def run_cli(spec, cache, out):
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "fetch",
        "--spec",
        canonical(spec),
        "--cache",
        str(cache),
        "--out",
        str(out),
    ]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_command_line(tmp_path):
    source = {"kind": "random", "documents": 5, "words": 4, "vocabulary": 50, "seed": 0}
    out = tmp_path / "text" / "documents.json"
    done = run_cli(text_spec(source), tmp_path / "cache", out)
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["documents"] == 5
    nowhere = model_spec({"kind": "path", "path": "nowhere"})
    done = run_cli(nowhere, tmp_path / "cache", tmp_path / "m" / "asset.json")
    assert done.returncode == 1
    assert "nowhere: no such model folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_second_writer_of_an_asset_waits_for_the_first(tmp_path, capfd):
    source = {"kind": "random", "documents": 5, "words": 4, "vocabulary": 50, "seed": 0}
    cache, out = tmp_path / "cache", tmp_path / "documents.json"
    (cache / "texts").mkdir(parents=True)
    lock = FileLock(cache / "texts" / f".{digest(text_spec(source))}.lock")
    lock.acquire()
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "fetch",
        "--spec",
        canonical(text_spec(source)),
        "--cache",
        str(cache),
        "--out",
        str(out),
    ]
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert second.stderr is not None
    said = second.stderr.readline()
    assert f"in use by process {os.getpid()}" in said
    assert not out.exists()
    lock.release()
    assert second.wait(timeout=60) == 0
    assert read_json(out)["documents"] == 5
