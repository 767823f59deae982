"""A study's records of what lies in the cache."""

from __future__ import annotations

from pathlib import Path

from pipeline.jobs.cache import CONTEXTS, TOKENS, Entry, entry_folder, write_record
from pipeline.jobs.json_files import read_json


def test_a_record_names_its_entry_and_nothing_of_a_killed_writer_is_left(tmp_path: Path) -> None:
    out, entry = tmp_path / "study" / "manifests" / "m-train.json", tmp_path / "cache" / "s"
    out.parent.mkdir(parents=True)
    entry.mkdir(parents=True)
    left = out.parent / ".m-train.json.4242.partial"
    other = out.parent / ".m-heldout.json.4242.partial"
    left.write_text("{")
    other.write_text("{")
    write_record(out, {"rows": 3}, entry)
    record = read_json(out)
    assert record["rows"] == 3
    assert entry_folder(out, record) == entry
    assert not left.exists()
    assert other.exists()


def test_who_makes_an_entry_alone_removes_what_a_killed_process_left_in_it(tmp_path: Path) -> None:
    entry = Entry(tmp_path, TOKENS, "d6e6")
    left, whole = entry.folder / f".{CONTEXTS}.4242.partial", entry.folder / CONTEXTS
    entry.folder.mkdir(parents=True)
    left.write_bytes(b"half")
    whole.write_bytes(b"whole")
    with entry.making():
        assert not left.exists()
        assert whole.exists()
