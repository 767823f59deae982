"""A study whose stores lie in a bucket: the same results, found again by anyone, and no secrets."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from pipeline.jobs.json_files import canonical, read_json
from pipeline.study.outputs import SPLITS
from pipeline.study.study import Study
from pipeline.tools.verify import verify
from sagsae.activations.reading import BlockReader
from sagsae.activations.storage import Storage, storage_at
from sagsae.activations.store import Store
from tests.helpers.real_study import WholeStudy, configuration, make_whole_study, without_costs
from tests.s3_servers import KEY, SECRET, folders


def everything(place: Storage) -> bytes:
    """All contents below a place, in one piece."""
    here = b"".join(place.read(name) for name in place.names())
    return here + b"".join(everything(place / folder) for folder in folders(place))


def prepared(folder: Path, url: str) -> WholeStudy:
    """A study with stores in a bucket, made up to its tokens."""
    made = WholeStudy(Study.from_dict(configuration(folder) | {"stores": url}))
    study = made.study
    targets = [study.asset("m"), study.documents, *(study.tokens("m", split) for split in SPLITS)]
    for target in targets:
        made.make(target)
    return made


def manifests(made: WholeStudy) -> dict[str, Any]:
    return {split: read_json(made.study.manifest("m", split)) for split in SPLITS}


def test_results_do_not_depend_on_where_the_store_lies(s3: str, tmp_path: Path) -> None:
    near = make_whole_study(tmp_path / "near")
    far = make_whole_study(tmp_path / "far", stores=f"{s3}/stores")
    for split in SPLITS:
        here, there = manifests(near)[split], manifests(far)[split]
        assert there.pop("entry") == f"{s3}/stores/{near.stores(split).name}"
        here.pop("entry")
        assert here == there
    assert not list((far.cache / "stores").glob("m-*"))
    kept = ("cells/", "baselines/", "tokens/", "assets/")
    found = [
        {name: x for name, x in without_costs(made.root).items() if name.startswith(kept)}
        for made in (near, far)
    ]
    assert found[0] == found[1]
    assert verify(far.study).faults == []


def test_a_fresh_node_finds_the_finished_store(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the URL alone: no block is read again, the same manifest, the same objects."""
    first = prepared(tmp_path / "first", f"{s3}/stores")
    for split in SPLITS:
        first.make(first.study.manifest("m", split))
    before = everything(storage_at(s3))
    second = prepared(tmp_path / "second", f"{s3}/stores")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the store was dumped again")

    monkeypatch.setattr(BlockReader, "read", refuse)
    for split in SPLITS:
        second.make(second.study.manifest("m", split))
    assert manifests(first) == manifests(second)
    assert everything(storage_at(s3)) == before


def test_no_secret_is_anywhere(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """Not in a log, a manifest, a file, an object or an error, nor the name of the key."""
    made = prepared(tmp_path / "made", f"{s3}/stores")
    study, said = made.study, []

    def stage(*arguments: str, **environment: str) -> int:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                main(list(map(str, arguments)))
            except (Exception, SystemExit) as error:
                said.append("".join(traceback.format_exception(error)))
                return 0 if isinstance(error, SystemExit) and not error.code else 1
        return 0

    out = study.manifest("m", "train")
    tokens = study.tokens("m", "train")
    dump = ["dump", "--spec", canonical(study.dump_spec("m", "train")), "--asset", study.asset("m")]
    dump += ["--tokens", tokens, "--calibration-tokens", tokens, "--cache", study.cache]
    dump += ["--device", "cpu", "--out", out, "--stores"]
    assert stage(*dump, "s3://no-such-bucket/stores") == 1
    assert "NoSuchBucket" in said[-1]
    assert stage(*dump, f"{s3}/stores", AWS_ENDPOINT_URL="http://127.0.0.1:1/nothing") == 1
    assert stage(*dump, f"{s3}/stores") == 0, said
    with pytest.raises(ValueError, match="credentials and endpoint") as refused:
        Study.from_dict(configuration(tmp_path) | {"stores": f"s3://{KEY}:{SECRET}@bucket/x"})
    said += [str(refused.value), *capfd.readouterr()]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert Path(out) in files
    for content in (
        *(text.encode() for text in said),
        *(path.read_bytes() for path in files),
        everything(storage_at(s3)),
        repr(Store.open(f"{s3}/stores/{folders(storage_at(f'{s3}/stores'))[0]}")).encode(),
    ):
        assert SECRET.encode() not in content
        assert KEY.encode() not in content
