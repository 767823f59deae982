"""Documents become contexts: each in one split, permuted, packed, reproducible."""

from dataclasses import replace

import datasets
import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.data.tokenise import documents_of, open_tokens
from pipeline.data.tokenise import main as tokenise
from pipeline.jobs.cache import CONTEXTS, entry_folder
from pipeline.jobs.json_files import canonical, read_json, sha256_of
from pipeline.jobs.stage import run_stage
from pipeline.study.study import Study
from sagsae.activations.language_models import load_tokenizer
from sagsae.activations.tokens import load_tokens, save_tokens
from tests.helpers.assets import made_model, made_text
from tests.helpers.real_study import CONFIG as WHOLE

CONFIG = WHOLE | {
    "text": WHOLE["text"]
    | {"source": {"kind": "random", "documents": 300, "words": 20}, "heldout_fraction": 0.2},
    "dump": WHOLE["dump"]
    | {"train_rows": 2048, "heldout_rows": 512, "rows_per_block": 512, "rows_per_chunk": 128},
}


def study(**text):
    return Study.from_dict(CONFIG | {"text": CONFIG["text"] | text})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with the model's asset and the documents of the study above."""
    folder = tmp_path_factory.mktemp("tokenise")
    made_model(study().asset_spec("m"), folder / "m" / "asset.json")
    made_text(study().text_spec(), folder / "text" / "documents.json")
    return folder


def arguments(spec, made, out):
    """The command line after ``python -m pipeline``."""
    parts = ["tokenise", "--spec", canonical(spec), "--out", out]
    parts += ["--asset", made / "m" / "asset.json"]
    parts += ["--documents", made / "text" / "documents.json", "--cache", out.parent / "cache"]
    return [str(part) for part in parts]


@pytest.fixture
def run(made):
    """Runs the stage in this process; returns what it exits with, None if all is well."""

    def run(spec, out):
        try:
            run_stage(lambda: main(arguments(spec, made, out)))
        except SystemExit as stop:
            return stop.code
        return None

    return run


@pytest.fixture(scope="module")
def stores(made):
    """Split -> (path, tokens) as the command line makes them."""
    found = {}
    for split in ("train", "heldout"):
        path = made / "tokens" / f"m-{split}.json"
        main(arguments(study().token_spec("m", split), made, path))
        found[split] = path, open_tokens(path)
    return found


def documents(texts):
    return datasets.Dataset.from_dict({"text": texts})


def split_of(split, texts):
    spec = study().token_spec("m", split)
    return list(documents_of(documents(texts), {"kind": "parquet"}, spec))


# Splits --------------------------------------------------------------------------------------


def test_every_document_is_in_exactly_one_split():
    texts = [f"document {n}" for n in range(101)]
    train, heldout = split_of("train", texts), split_of("heldout", texts)
    assert sorted(train + heldout) == list(enumerate(texts))
    assert len(heldout) == 21
    order = [doc for doc, _ in train]
    assert order != sorted(order), "the documents must be permuted"


def test_streamed_text_is_split_in_the_same_way():
    texts = [f"document {n}" for n in range(101)]
    descriptor = {"kind": "hub", "shuffle_buffer": 20}
    parts = {}
    for split in ("train", "heldout"):
        stream = documents(texts).to_iterable_dataset(num_shards=4)
        given = {"heldout_fraction": 0.2, "seed": 5}
        spec = study().token_spec("m", split).model_copy(update=given)
        parts[split] = list(documents_of(stream, descriptor, spec))
    found = sorted(parts["train"] + parts["heldout"])
    assert [place for place, _ in found] == list(range(101))
    assert sorted(text for _, text in found) == sorted(texts)
    assert [text for _, text in found] != texts
    assert [place for place, _ in parts["heldout"]] == list(range(0, 101, 5))


# Contexts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_contexts_hold_the_text_of_their_split(made, stores, split):
    """Packing is undone with nothing but the tokenizer, and gives back the documents."""
    tokens = stores[split][1]
    tokenizer = load_tokenizer(made / "m" / "model")
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    table = datasets.Dataset.from_parquet(
        str(made / "text" / "documents.parquet"), cache_dir=str(made / "cache")
    )
    assert (tokens.input_ids[:, 0] == bos).all()
    assert not (tokens.input_ids[:, 1:] == bos).any()
    ids, docs = tokens.input_ids[:, 1:].ravel(), tokens.doc_id[:, 1:].ravel()
    ends = np.flatnonzero(ids == eos)
    assert len(ends) > 10
    start = 0
    for end in ends:
        assert len(set(docs[start : end + 1])) == 1
        assert tokenizer.decode(ids[start:end]) == table[int(docs[end])]["text"]
        start = end + 1


def test_bytes_are_reproducible(run, stores, tmp_path):
    again = tmp_path / "again.json"
    assert run(study().token_spec("m", "heldout"), again) is None
    assert sha256_of(contexts_of(again)) == sha256_of(contexts_of(stores["heldout"][0]))


def contexts_of(record):
    return entry_folder(record, read_json(record)) / CONTEXTS


def test_more_rows_make_the_file_longer_and_fewer_read_its_beginning(run, tmp_path):
    def record(rows, name):
        spec = study().token_spec("m", "train").model_copy(update={"rows": rows})
        assert run(spec, tmp_path / name) is None
        return open_tokens(tmp_path / name)

    two = record(2 * 512, "two.json")
    file = contexts_of(tmp_path / "two.json")
    assert record(3 * 512, "three.json").n_contexts == 3 * two.n_contexts // 2
    assert contexts_of(tmp_path / "three.json") == file
    when = file.stat().st_mtime_ns
    assert open_tokens(tmp_path / "two.json").digest() == two.digest()
    one = record(512, "one.json")
    assert file.stat().st_mtime_ns == when
    assert one.digest() == two.first(one.n_contexts).digest()
    file.write_bytes(contexts_of_other_text(file))
    with pytest.raises(ValueError, match=r"are not those that .*two\.json names"):
        open_tokens(tmp_path / "two.json")


def contexts_of_other_text(file):
    tokens = load_tokens(file)
    changed = tokens.input_ids.copy()
    changed[0, 3] += 1
    save_tokens(file, replace(tokens, input_ids=changed))
    return file.read_bytes()


def test_several_sources_are_in_both_splits_and_named(made, tmp_path):
    parts = [
        {"name": name, "source": {"kind": "random", "documents": documents, "words": 20}}
        for name, documents in (("few", 60), ("many", 240))
    ]
    config = CONFIG["text"] | {"sources": parts}
    del config["source"]
    mixed = Study.from_dict(CONFIG | {"text": config})
    made_text(mixed.text_spec(), tmp_path / "documents.json")
    for split in ("train", "heldout"):
        out = tmp_path / f"{split}.json"
        places = [made / "m" / "asset.json", tmp_path / "documents.json", tmp_path / "cache", out]
        tokenise(mixed.token_spec("m", split), *places)
        tokens = open_tokens(out)
        assert tokens.metadata["sources"] == [
            {"name": "few", "first_document": 0},
            {"name": "many", "first_document": 60},
        ]
        docs = tokens.doc_id[:, 1:]
        assert 0.1 < (docs < 60).mean() < 0.3


# Bad input -----------------------------------------------------------------------------------


def test_text_that_is_too_short(run, tmp_path):
    spec = study().token_spec("m", "heldout").model_copy(update={"rows": 512 * 40})
    fault = run(spec, tmp_path / "t.json")
    assert fault.startswith("error: TextTooShortError: heldout split: the text has ")
    assert f"({40 * 38 * 15} tokens) were asked" in fault
    assert "dump.heldout_rows (20480)" in fault
    assert not (tmp_path / "t.json").exists()
