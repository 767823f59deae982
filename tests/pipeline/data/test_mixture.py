"""Several sources become one text: readers on small real-like files, caps, order, shares."""

import json
import shutil
from types import SimpleNamespace

import pytest

from pipeline.data import fetch as assets
from pipeline.data.documents import open_documents
from pipeline.data.wheels import AssetError
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import read_json
from pipeline.study.sources import FileDigests, MixedText, content_of
from pipeline.study.specs import TextSpec
from tests.helpers.assets import made_text, nothing_finished, text_spec, wheel_source

VERSES = (
    'from nowhere import Bible\nraise SystemExit("must not run")\n'
    'bible = Bible(1, """<sup>1</sup> In God`s day. <sup>2</sup> Light.    And    dark. '
    '     Psalm 2       By David. <sup>1</sup> Why? <sup>12</sup> No.""", {1: 0}, "GENESIS")\n'
)


def mixed(*parts, seed=0):
    """The specification of several sources, and what was written of it."""
    parsed = MixedText.model_validate({"sources": list(parts), "seed": seed})
    return text_spec(parsed.model_dump())


def made(folder, *parts, seed=0):
    """The descriptor, and the documents by source."""
    descriptor = made_text(mixed(*parts, seed=seed), folder / "documents.json")
    texts, found = list(open_documents(descriptor, folder)["text"]), {}
    for record in descriptor["sources"]:
        first = record["first_document"]
        found[record["name"]] = texts[first : first + record["documents"]]
    return descriptor, found


def lines(folder, name, texts):
    """A source of one .jsonl file."""
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return {"name": name, "source": {"kind": "files", "paths": [str(path)]}}


def test_the_longest_string_of_python_is_cut_and_changed(tmp_path, monkeypatch):
    part = {
        "name": "bible",
        "source": wheel_source(tmp_path, monkeypatch, "bible.py", VERSES, format="python"),
        "split_at": r"(?: {5,}Psalm \d+ {2,}[^<]*)?<sup>1</sup>",
        "replace": [
            {"pattern": r"<sup>\d+</sup> ", "by": ""},
            {"pattern": " {4,}", "by": "\n"},
            {"pattern": "`", "by": "'"},
        ],
    }
    descriptor, found = made(tmp_path / "text", part)
    assert found == {"bible": ["In God's day. Light.\nAnd\ndark.", "Why? No."]}
    assert descriptor["characters"] == 38


def test_a_cap_takes_documents_in_an_order_of_the_seed(tmp_path):
    texts = [f"text {n:05}" for n in range(100)]  # 10 characters each
    part = lines(tmp_path, "a", texts) | {"max_characters": 300}
    chosen = {
        seed: made(tmp_path / f"text{seed}", part, seed=seed)[1]["a"] for seed in (0, 1, 2**53)
    }
    for found in chosen.values():
        assert len(found) == 30
        assert found == sorted(found), "stored in the order of the source"
        assert found != texts[:30]
    assert chosen[0] != chosen[1]
    assert chosen[0] == made(tmp_path / "again", part)[1]["a"]
    beside = made(tmp_path / "beside", lines(tmp_path, "b", ["x"]), part)[1]
    assert beside["a"] == chosen[0], "other sources do not change the choice"


def test_sources_lie_one_after_the_other(tmp_path):
    random = {"kind": "random", "documents": 20, "words": 5}
    parts = lines(tmp_path, "b", ["one", "two"]), {"name": "a", "source": random}
    descriptor, found = made(tmp_path / "text", *parts)
    first, second = descriptor["sources"]
    assert (first["name"], second["name"]) == ("b", "a")
    assert (first["first_document"], second["first_document"]) == (0, 2)
    assert (first["documents"], second["documents"]) == (2, 20)
    assert first["characters"] == 6
    assert first["characters"] + second["characters"] == descriptor["characters"]
    assert found["b"] == ["one", "two"]
    alone = made_text(text_spec(random), tmp_path / "o" / "documents.json")
    assert found["a"] == list(open_documents(alone, tmp_path / "o")["text"])


def test_one_source_has_the_bytes_it_always_had(tmp_path):
    """Digests of the version before several sources could be named."""
    random = {"kind": "random", "documents": 300, "words": 20}
    descriptor = made_text(text_spec(random), tmp_path / "documents.json")
    assert open_documents(descriptor, tmp_path).column_names == ["text"]
    assert descriptor == {
        "spec": "c0395f36acb48389",
        "kind": "parquet",
        "file": "documents.parquet",
        "documents": 300,
        "characters": 39669,
        "sha256": "57536244233a19cff6b39dd8b7c2c99474b1f1c0a21193d8e67535703a657b6a",
        "terms": "",
    }


def test_a_failed_source_leaves_nothing_and_its_name(tmp_path):
    missing = {"kind": "files", "paths": [str(tmp_path / "none.txt")]}
    parts = lines(tmp_path, "a", ["x"]), {"name": "gone", "source": missing}
    with pytest.raises(AssetError, match=r"source 'gone': .*none\.txt: .*No such file"):
        made(tmp_path / "text", *parts)
    assert nothing_finished(tmp_path / "text")


def test_text_of_the_hub_is_taken_up_to_its_cap(tmp_path, monkeypatch):
    """A folder stands for the repository, which `datasets` reads in the same way."""
    folder = tmp_path / "me" / "text"
    folder.mkdir(parents=True)
    texts = [f"text {n:05}" for n in range(200)]
    (folder / "en.csv").write_text("body\n" + "\n".join(texts) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(
        "huggingface_hub.HfApi.dataset_info", lambda *_, **__: SimpleNamespace(sha=None)
    )
    source = {"kind": "hub", "repo": "me/text", "column": "body", "shuffle_buffer": 50}
    part = {"name": "web", "source": source, "max_characters": 405}
    descriptor, found = made(tmp_path / "text", part, lines(tmp_path, "a", ["x"]))
    assert len(found["web"]) == 40
    assert set(found["web"]) < set(texts)
    assert found["web"] != texts[:40]
    assert "resolved_revision" in descriptor["sources"][0]
    assert found == made(tmp_path / "again", part, lines(tmp_path, "a", ["x"]))[1]


def test_a_changed_file_of_a_source_is_another_text_in_the_cache(tmp_path):
    """Else a study that shares the cache would get the old text, and nothing would say so."""
    cache, out = tmp_path / "cache", tmp_path / "documents.json"
    for text in ("before", "after", "before"):
        source = mixed(lines(tmp_path, "a", [text]), lines(tmp_path, "b", ["other"])).text
        spec = TextSpec(text=content_of(source, FileDigests(cache)))
        assets.main(spec, source.model_dump(), cache, out)
        record = read_json(out)
        found = open_documents(record, entry_folder(out, record))
        assert list(found["text"]) == [text, "other"]
    assert len([path for path in (cache / "texts").iterdir() if path.is_dir()]) == 2
    lines(tmp_path, "a", ["changed while snakemake ran"])
    shutil.rmtree(cache)
    with pytest.raises(AssetError, match="changed after the plan"):
        assets.main(spec, source.model_dump(), cache, out)
