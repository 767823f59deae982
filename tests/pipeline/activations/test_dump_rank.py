"""Jobs that fill one store together, and the job that seals it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.activations import dump_job
from pipeline.activations.dump_rank import main as dump_rank
from pipeline.jobs.cache import STORES, Entry, register
from pipeline.jobs.json_files import digest, read_json
from sagsae.activations import Store, StoreFaultsError, StoreWriter
from sagsae.activations.layout import StoreConfig
from tests.pipeline.whole_study import WholeStudy, make_whole_study, without_costs


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> WholeStudy:
    return make_whole_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def made(_made: WholeStudy) -> WholeStudy:
    """A study whose training store is still to be made."""
    shutil.rmtree(_made.stores("train"))
    Path(_made.study.manifest("m", "train")).unlink()
    for path in Path(_made.root, "manifests").glob("*.rank*.json"):
        path.unlink()
    return _made


@pytest.fixture(scope="module")
def whole(_made: WholeStudy) -> dict[str, bytes]:
    return without_costs(_made.root)


def run_rank(made: WholeStudy, rank: int) -> Path:
    """What ``snakemake`` does for one rank; its record."""
    study, out = made.study, Path(made.study.rank("m", "train", rank))
    tokens = Path(study.tokens("m", "train"))
    spec, asset = study.dump_spec("m", "train"), Path(study.asset("m"))
    dump_rank(spec, asset, tokens, tokens, made.cache, out, device="cpu")
    return out


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a model was run")


def test_ranks_and_the_dump_after_them_make_the_store_of_one_job(
    whole: dict[str, bytes], made: WholeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_json(run_rank(made, 0))
    spec = made.study.dump_spec("m", "train")
    assert record["spec"] == digest(spec)
    store = made.stores("train")
    with pytest.raises(StoreFaultsError, match=r"SEALED\.json: missing: the dump has 2 of 2"):
        Store.open(store)
    monkeypatch.setattr(dump_job, "dump_activations", refuse)
    run_rank(made, 1)
    made.make(made.study.manifest("m", "train"))
    for rank in (0, 1):
        Path(made.study.rank("m", "train", rank)).unlink()
    assert without_costs(made.root) == whole


def test_the_dump_makes_what_a_killed_rank_left(
    whole: dict[str, bytes], made: WholeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, blocks = StoreWriter.write_block, []

    def die(writer: StoreWriter, block: int, *arguments: object, **named: object) -> None:
        if blocks:
            raise KeyboardInterrupt
        blocks.append(block)
        write(writer, block, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "write_block", die)
        with pytest.raises(KeyboardInterrupt):
            run_rank(made, 0)
    made.make(made.study.manifest("m", "train"))
    assert without_costs(made.root) == whole


def test_a_store_between_its_ranks_and_its_seal_is_not_pruned(
    whole: dict[str, bytes], made: WholeStudy, capsys: pytest.CaptureFixture
) -> None:
    register(made.cache, made.root)
    record = run_rank(made, 0)
    main(["cache", "prune", "--yes", "--cache", str(made.cache)])
    assert made.stores("train").name not in capsys.readouterr().out
    assert StoreConfig.read(made.stores("train")).n_blocks == 2
    record.unlink()
    main(["cache", "prune", "--yes", "--cache", str(made.cache)])
    assert "deleted" in capsys.readouterr().out
    assert not list((made.cache / STORES).glob("m-train-*"))
    shutil.rmtree(made.cache / "studies")
    made.make(made.study.manifest("m", "train"))
    assert without_costs(made.root) == whole


def test_ranks_share_and_a_lone_dump_does_not(tmp_path: Path) -> None:
    entry = Entry(tmp_path, STORES, "k")
    refused = pytest.raises(RuntimeError, match="in use")
    with entry.making(shared=True), entry.making(0.0, shared=True), refused, entry.making(0.0):
        pass
    refused = pytest.raises(RuntimeError, match="in use")
    with entry.making(), refused, entry.making(0.0, shared=True):
        pass
