"""Files damaged at random: all of it is found, and the printed remedy brings every byte back.

What is damaged lies in real stores and in a small real study. A fault counts as detected in a store
if `verify_store` lists it and no reader gets other rows than were written, and in a study if the
checks of `snakemake verify` list it. It counts as recovered if, after the remedies, every file
holds what it held before; of a cell's records, all but what training cost. Lost are blocks and
cells that were not damaged and yet were made again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.data.manifests import recorded_store
from pipeline.jobs.json_files import read_json
from pipeline.tools.verify import (
    BASELINES,
    CELLS,
    MODELS,
    STORES,
    TEXTS,
    TOKENS,
    Fault,
    verify,
)
from sagsae.activations import StoreConfig, store_path, verify_store
from tests.faults import damage
from tests.faults.campaign import Campaign
from tests.faults.small_stores import CHUNKS, config, contents, dump, mend, rows_of
from tests.pipeline.whole_study import WholeStudy, make_whole_study, without_costs

FULL, SHORT = 200, 6


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads only cost time on data as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class SoundStore:
    """A store as it has to be, and another of its kind but not of its configuration."""

    path: Path
    config: StoreConfig
    sealed: bool
    content: dict[str, bytes]
    rows: dict[str, bytes] | None
    other: Path

    def mend(self, faults: list[str]) -> None:
        """Do what the messages say, all of them and then the dump."""
        mend(self.path, faults)
        dump(self.path, self.config, seal=self.sealed)

    def restore(self) -> None:
        """Undo a fault for which there was no remedy, so that the next one is by itself."""
        shutil.rmtree(self.path, ignore_errors=True)
        for name, content in self.content.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_bytes(content)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[SoundStore]:
    """Plain and compressed, finished and not, in single chunks and in shards."""
    kinds = [(p, sealed, False) for p in ("plain", "disk") for sealed in (True, False)]
    made = []
    for profile, sealed, sharded in [*kinds, ("disk", True, True)]:
        root = tmp_path_factory.mktemp("stores")
        mine = config(profile=profile, sharded=sharded)
        other = config(profile=profile, sharded=sharded, seed=8)
        paths = [store_path(root, "tiny-train", each) for each in (mine, other)]
        for path, each in zip(paths, (mine, other), strict=True):
            dump(path, each, seal=sealed)
        rows = rows_of(paths[0], sealed=sealed)
        made.append(SoundStore(paths[0], mine, sealed, contents(paths[0]), rows, paths[1]))
    return made


def sealed_only(store: SoundStore) -> bool:
    return store.sealed


def any_store(store: SoundStore) -> bool:
    return True


STORE_KINDS: dict[str, tuple[Callable[[SoundStore], bool], damage.Damage]] = {
    "chunk: one bit": (any_store, damage.flips(CHUNKS)),
    "chunk: cut short": (any_store, damage.truncated_chunk),
    "chunk: deleted": (any_store, damage.missing(CHUNKS)),
    "chunk: another sound one in its place": (any_store, damage.another_chunk),
    "commit: deleted": (sealed_only, damage.missing("commits/*.json")),
    "commit: one byte": (any_store, damage.changed_byte("commits/*.json")),
    "commit: edited and signed again": (any_store, damage.signed_again),
    "commit: that of another block": (any_store, damage.swapped("commits/*.json")),
    "SEALED.json: one bit": (sealed_only, damage.flips("SEALED.json")),
    "run.json: one bit": (any_store, damage.flips("run.json")),
    "run.json: deleted": (any_store, damage.missing("run.json")),
    "calibration.json: one bit": (any_store, damage.flips("calibration.json")),
    "zarr.json: one bit": (any_store, damage.flips("data.zarr/**/zarr.json")),
    "zarr.json: deleted": (any_store, damage.missing("data.zarr/**/zarr.json")),
}


@pytest.mark.parametrize("kind", STORE_KINDS)
def test_damaged_stores(kind: str, stores: list[SoundStore], campaign: Campaign) -> None:
    applies, harm = STORE_KINDS[kind]
    run_store_campaign(kind, [s for s in stores if applies(s)], lambda _: harm, campaign)


OTHER_FILES = {
    "calibration.json: that of another store": "calibration.json",
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_sound_files_of_another_store(
    kind: str, stores: list[SoundStore], campaign: Campaign
) -> None:
    name = OTHER_FILES[kind]
    run_store_campaign(kind, stores, lambda s: damage.replaced_by(s.other, name), campaign)


def run_store_campaign(
    kind: str,
    stores: list[SoundStore],
    harm: Callable[[SoundStore], damage.Damage],
    campaign: Campaign,
) -> None:
    """Damage stores as often as the campaign wants; count, then insist that nothing was missed."""
    times = campaign.times(full=FULL, short=SHORT)
    missed, unmended, lost = [], [], 0
    for number in range(times):
        chance = campaign.chance(kind, number)
        store = chance.choice(stores)
        before = stamps(store.path, "commits/*.json")
        file = harm(store)(store.path, chance)
        hit = f"{number}: {file}"
        assert contents(store.path) != store.content, "nothing was damaged"
        faults = verify_store(store.path)
        if not faults or rows_of(store.path, sealed=store.sealed) not in (None, store.rows):
            missed.append(hit)
        else:
            hit += attempt(store.mend, faults)
            if file != store.path:
                block = file.name.startswith("c.") or file.parent.name == "commits"
                lost += rewritten(before, store.path, "commits/*.json", may=int(block))
        if contents(store.path) != store.content:
            unmended.append(hit)
            store.restore()
    account(campaign, kind, times, missed, unmended, lost)


def attempt(mend: Callable[[Any], None], what: object) -> str:
    """Follow a remedy; what goes wrong, if anything. The damage is then found to be there still."""
    try:
        mend(what)
    except Exception as error:
        return f", not mended: {error!r}"
    return ""


def stamps(folder: Path, pattern: str) -> dict[Path, int]:
    """When each of the matching files was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob(pattern)}


def rewritten(before: dict[Path, int], folder: Path, pattern: str, *, may: int) -> int:
    """Files written again, beyond those that had to be."""
    after = stamps(folder, pattern)
    return max(0, sum(after.get(path) != when for path, when in before.items()) - may)


def account(
    campaign: Campaign, kind: str, times: int, missed: list[str], unmended: list[str], lost: int
) -> None:
    """Record one kind and insist that nothing was missed, left damaged or done in vain."""
    detected, recovered = times - len(missed), times - len(unmended)
    campaign.record(kind, injected=times, detected=detected, recovered=recovered, lost=lost)
    assert not missed
    assert not unmended
    assert lost == 0


@dataclass(frozen=True)
class SoundStudy:
    """A study as it has to be."""

    made: WholeStudy
    content: dict[str, bytes]

    @property
    def folder(self) -> Path:
        return self.made.root

    def found(self) -> dict[str, bytes]:
        return without_costs(self.folder)

    def mend(self, fault: Fault) -> None:
        """Do what a fault says, and what the message on a store says."""
        if fault.file.parent.name == "manifests":
            with suppress(ValueError):  # the manifest itself is damaged
                store = recorded_store(fault.file, read_json(fault.file))
                mend(Path(str(store)), fault.problem.splitlines())
        self.made.mend(fault)

    def restore(self, backup: Path) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(backup, self.folder)


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup") / "small"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, backup: Path) -> SoundStudy:
    made = make_whole_study(tmp_path_factory.mktemp("study"))
    assert verify(made.study).faults == []
    shutil.copytree(made.root, backup)
    return SoundStudy(made, without_costs(made.root))


KINDS = {
    "assets": (MODELS, TEXTS, TOKENS),
    "activations": (STORES, BASELINES),
    "cells": (CELLS,),
}
CELL = "cells/*/*/*/*"
STORE = "cache/stores/*"
STUDY_KINDS: dict[str, tuple[str, damage.Damage]] = {
    "asset.json: one bit": ("assets", damage.flips("assets/m/asset.json")),
    "model folder: one bit": (
        "assets",
        damage.flips("cache/models/*/model/*"),
    ),
    "documents.json: one bit": ("assets", damage.flips("assets/text/documents.json")),
    "documents.parquet: one bit": ("assets", damage.flips("cache/texts/*/*.parquet")),
    "record of tokens: one bit": ("assets", damage.flips("tokens/*.json")),
    "tokens: one bit": ("assets", damage.flips("cache/tokens/*/*.safetensors")),
    "tokens: those of the other split": ("assets", damage.swapped("cache/tokens/*/*.safetensors")),
    "manifest: one bit": ("activations", damage.flips("manifests/*.json")),
    "manifest: that of the other split": ("activations", damage.swapped("manifests/*.json")),
    "study's store: one bit of a chunk": ("activations", damage.flips(f"{STORE}/{CHUNKS}")),
    "study's store: one bit of its JSON": ("activations", damage.flips(f"{STORE}/**/*.json")),
    "baselines: one bit": ("activations", damage.flips("baselines/*.json")),
    "baselines' tensors: one bit": ("activations", damage.flips("cache/baselines/*/*.safetensors")),
    "metrics.json: one bit": ("cells", damage.flips(f"{CELL}/metrics.json")),
    "metrics.json: that of another cell": ("cells", damage.swapped(f"{CELL}/metrics.json")),
    "sae.safetensors: one bit": ("cells", damage.flips(f"{CELL}/sae.safetensors")),
    "sae.safetensors: that of another cell": ("cells", damage.swapped(f"{CELL}/sae.safetensors")),
    "latents.safetensors: one bit": ("cells", damage.flips(f"{CELL}/latents.safetensors")),
    "latents.safetensors: that of another cell": (
        "cells",
        damage.swapped(f"{CELL}/latents.safetensors"),
    ),
    "training.json: one bit": ("cells", damage.flips(f"{CELL}/training.json")),
    "training.json: that of another cell": ("cells", damage.swapped(f"{CELL}/training.json")),
    "curve.parquet: one bit": ("cells", damage.flips(f"{CELL}/curve.parquet")),
    "curve.parquet: that of another cell": ("cells", damage.swapped(f"{CELL}/curve.parquet")),
    "trained.json: one bit": ("cells", damage.flips(f"{CELL}/.state/trained.json")),
}


@pytest.mark.parametrize("kind", STUDY_KINDS)
def test_damaged_studies(kind: str, study: SoundStudy, backup: Path, campaign: Campaign) -> None:
    wing, harm = STUDY_KINDS[kind]
    times = campaign.times(full=FULL, short=SHORT)
    missed, unmended, lost = [], [], 0
    for number in range(times):
        before = stamps(study.folder, f"{CELL}/metrics.json")
        hit = f"{number}: {harm(study.folder, campaign.chance(kind, number))}"
        faults = verify(study.made.study, KINDS[wing]).faults
        if not faults:
            missed.append(hit)
        for fault in faults:
            hit += attempt(study.mend, fault)
        lost += rewritten(before, study.folder, f"{CELL}/metrics.json", may=int(wing == "cells"))
        if study.found() != study.content:
            unmended.append(hit)
            study.restore(backup)
    account(campaign, kind, times, missed, unmended, lost)
    assert verify(study.made.study).faults == []
