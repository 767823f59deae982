"""Files damaged at random: all of it is found, and the printed remedy brings every byte back.

What is damaged lies in a small real study. A fault counts as detected if the checks of `snakemake
verify` list it. It counts as recovered if, after the remedies, every file holds what it held
before; of a cell's records, all but what training cost. Lost are blocks and cells that were not
damaged and yet were made again.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from pipeline.data.manifests import recorded_store
from pipeline.jobs.json_files import read_json
from pipeline.tools.verify import Fault, verify
from tests.faults.small_stores import CHUNKS, mend
from tests.helpers.campaign import Campaign
from tests.helpers.real_study import WholeStudy, make_whole_study, without_costs

FULL, SHORT = 200, 2


def overwrite(file: Path, content: bytes) -> None:
    """Change a file in place, as a disk does: other names of it change too."""
    with file.open("r+b") as stream:
        stream.write(content)
        stream.truncate()


def flip(file: Path, alike: list[Path], chance: random.Random) -> None:
    """Change one bit."""
    content = bytearray(file.read_bytes())
    bit = chance.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    overwrite(file, content)


def cut(file: Path, alike: list[Path], chance: random.Random) -> None:
    content = file.read_bytes()
    overwrite(file, content[: chance.randrange(len(content))])


def delete(file: Path, alike: list[Path], chance: random.Random) -> None:
    file.unlink()


def exchange(file: Path, alike: list[Path], chance: random.Random) -> None:
    """Let a file hold what another one like it holds."""
    content = file.read_bytes()
    others = [other for path in alike if (other := path.read_bytes()) != content]
    overwrite(file, chance.choice(others))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads only cost time on data as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stamps(folder: Path) -> dict[Path, int]:
    """When the metrics of each cell were written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob(f"{CELL}/metrics.json")}


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


CELL = "cells/*/*/*/*"
STORE = "cache/stores/*"
STUDY_KINDS: dict[str, tuple[str, Callable[..., None], str]] = {
    "asset.json: one bit": ("assets", flip, "assets/m/asset.json"),
    "model folder: one bit": (
        "assets",
        flip,
        "cache/models/*/model/*",
    ),
    "documents.json: one bit": ("assets", flip, "assets/text/documents.json"),
    "documents.parquet: one bit": ("assets", flip, "cache/texts/*/*.parquet"),
    "record of tokens: one bit": ("assets", flip, "tokens/*.json"),
    "tokens: one bit": ("assets", flip, "cache/tokens/*/*.safetensors"),
    "tokens: those of the other split": ("assets", exchange, "cache/tokens/*/*.safetensors"),
    "manifest: one bit": ("activations", flip, "manifests/*.json"),
    "study's store: one bit of a chunk": ("activations", flip, f"{STORE}/{CHUNKS}"),
    "study's store: one bit of its JSON": ("activations", flip, f"{STORE}/**/*.json"),
    "study's store: a chunk cut short": ("activations", cut, f"{STORE}/{CHUNKS}"),
    "study's store: another chunk": ("activations", exchange, f"{STORE}/{CHUNKS}"),
    "study's store: no chunk": ("activations", delete, f"{STORE}/{CHUNKS}"),
    "study's store: no JSON": ("activations", delete, f"{STORE}/**/*.json"),
    "baselines: one bit": ("activations", flip, "baselines/*.json"),
    "baselines' tensors: one bit": ("activations", flip, "cache/baselines/*/*.safetensors"),
    "metrics.json: one bit": ("cells", flip, f"{CELL}/metrics.json"),
    "sae.safetensors: one bit": ("cells", flip, f"{CELL}/sae.safetensors"),
    "sae.safetensors: that of another cell": ("cells", exchange, f"{CELL}/sae.safetensors"),
    "latents.safetensors: one bit": ("cells", flip, f"{CELL}/latents.safetensors"),
    "training.json: one bit": ("cells", flip, f"{CELL}/training.json"),
    "curve.parquet: one bit": ("cells", flip, f"{CELL}/curve.parquet"),
    "trained.json: one bit": ("cells", flip, f"{CELL}/.state/trained.json"),
}


@pytest.mark.parametrize("kind", STUDY_KINDS)
def test_damaged_studies(kind: str, study: SoundStudy, backup: Path, campaign: Campaign) -> None:
    wing, harm, pattern = STUDY_KINDS[kind]
    times = campaign.times(full=FULL, short=SHORT)
    missed, unmended, lost = [], [], 0
    for number in range(times):
        before = stamps(study.folder)
        chance = campaign.chance(kind, number)
        alike = sorted(path for path in study.folder.glob(pattern) if path.is_file())
        file = chance.choice(alike)
        harm(file, alike, chance)
        hit = f"{number}: {file}"
        faults = verify(study.made.study).faults
        missed += [] if faults else [hit]
        for fault in faults:
            study.mend(fault)
        again = len(before.items() - stamps(study.folder).items())
        lost += max(0, again - int(wing == "cells"))  # the damaged cell has to be made again
        if study.found() != study.content:
            unmended.append(hit)
            study.restore(backup)
    detected, recovered = times - len(missed), times - len(unmended)
    campaign.record(kind, injected=times, detected=detected, recovered=recovered, lost=lost)
    assert (missed, unmended, lost) == ([], [], 0)
    assert verify(study.made.study).faults == []
