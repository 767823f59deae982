"""Checks of what all cells share: models, text, contexts, stores and baselines."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

from pipeline.activations.baselines import read_baselines
from pipeline.activations.manifests import open_store, recorded_store
from pipeline.assets.documents import open_documents
from pipeline.assets.model_folders import check_model
from pipeline.assets.tokenise import open_tokens
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.findings import Checked, Fault, Findings, made_for, read_record, size_of
from pipeline.jobs.json_files import read_json
from pipeline.jobs.progress import Progress
from pipeline.study.study import SPLITS, Study
from sagsae.activations import verify_store
from sagsae.memory import needs_memory


def check_assets(study: Study) -> Findings:
    """Models, text and contexts, each read by whoever uses it."""
    for model in study.models:
        file, kept = study.asset(model), study.asset_spec(model).model.kind == "path"
        reading = read_record(file, "spec", "folder", spec=study.asset_spec(model), kind="models")
        if (yield from reading) is not None:
            yield from _raised(file, check_model, keep=kept)
    reading = read_record(study.documents, "spec", "kind", spec=study.text_spec())
    found = yield from reading
    if found is not None and found["kind"] != "hub":  # text of the hub is not on disk
        entry = entry_folder(Path(study.documents), found)
        yield from _raised(study.documents, lambda _: open_documents(found, entry), kind="texts")
    for model, split in product(study.models, SPLITS):
        file = study.tokens(model, split)
        reading = read_record(file, "spec", "contexts", spec=study.token_spec(model, split))
        if (yield from reading) is not None:
            yield from _raised(file, open_tokens, kind="token stores")


def _raised(
    file: str, read: Callable[[Path], object], *, kind: str = "", keep: bool = False
) -> Findings:
    """What a reader raises about the entry of the cache that a record names.

    Args:
        file: The record.
        read: Is given it.
        kind: What the entry is counted as.
        keep: The entry is none of the cache's, and nothing is to be deleted.
    """
    entry = entry_folder(Path(file), read_json(Path(file)))
    yield Checked(kind, size_of(entry))
    try:
        read(Path(file))
    except Exception as error:  # readers raise many kinds; each means that nobody can use it
        yield Fault(file, error, delete=() if keep else (entry,))


def check_activations(study: Study) -> Findings:
    """Every chunk of the stores, then the baselines that were measured on them."""
    made: dict[tuple[str, str], str] = {}
    for model, split in product(study.models, SPLITS):
        file, expected = study.manifest_and_digest(model, split)
        reading = read_record(file, "spec", "sha256", "rows", spec=expected, kind="manifests")
        if (found := (yield from reading)) is None:
            continue
        made[model, split] = found["sha256"]
        store = recorded_store(Path(file), found)
        with needs_memory("chunks of activations"):
            faults = verify_store(store, reporter(f"verify {store.name}"))
        yield Checked("stores", store.total_size())
        for fault in faults:
            yield Fault(str(store), fault, file)
        if not faults:
            try:
                open_store(Path(file))
            except (ValueError, RuntimeError) as error:
                yield Fault(file, error)
    for model in study.models:
        file, expected = study.baselines_and_digest(model)
        reading = read_record(file, "made_from", "hookpoints", kind="baselines")
        if (found := (yield from reading)) is None:
            continue
        yield from made_for(file, "specification", found["made_from"].get("baselines"), expected)
        for split in SPLITS:
            if (store := found["made_from"].get(split)) != made.get((model, split), store):
                yield Fault(file, f"computed on another {split} store, {store}")
        yield from _raised(file, read_baselines)


def reporter(label: str) -> Callable[[int, int], None]:
    """What prints lines of progress as blocks are done."""
    progress = Progress(label, 1, "blocks")

    def report(done: int, total: int) -> None:
        progress.total = total
        progress.update(done)

    return report
