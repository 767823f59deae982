"""Filling one activation store: its family, its place, the processes that share its blocks.

On a CPU a process of one thread per core is about 1.6 times as fast as one process with as many
threads (``python -m benchmarks.ranks``). A short dump has one process, as each loads the model.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from pipeline.activations.hookpoints import hookpoints_of
from pipeline.activations.stores import family_store, find_store, is_filled, stores_at
from pipeline.assets.fetch import load_asset, model_folder
from pipeline.assets.tokenise import open_tokens
from pipeline.config.specs import DumpSpec
from pipeline.config.study_config import StoreLayout
from pipeline.jobs.cache import STORES, Entry
from pipeline.jobs.json_files import digest, read_json
from pipeline.jobs.progress import Progress, say
from pipeline.jobs.stage import Device, device_of
from sagsae.activations import DumpProgress, DumpSettings, Store, dump_activations
from sagsae.storage import Storage


def provenance_of(
    spec: DumpSpec, asset: dict[str, Any], tokens: str, calibration_tokens: str
) -> dict[str, Any]:
    """What names the model and the text of a dump.

    Args:
        spec: Of the dump.
        asset: Content of asset.json.
        tokens: Family of the contexts.
        calibration_tokens: Family of those behind the median norms.

    Returns:
        The provenance; its ``family`` is a digest of all that determines the rows but their number.
    """
    named = {
        "model": spec.model.name,
        "layer": spec.model.layer,
        "model_dtype": spec.model.dtype,
        "split": spec.split,
        "weights_sha256": asset["weights_sha256"],
        "tokenizer_sha256": asset["tokenizer_sha256"],
        "revision": asset["resolved_revision"],
        "tokens": tokens,
        "torch": torch.__version__.split("+")[0],
    }
    determined = spec.model_dump(exclude={"rows", "tokens", "calibration_tokens"})
    family = digest(determined | {"calibration_tokens": calibration_tokens, "named": named})
    return named | {"family": family}


def settings_of(spec: DumpSpec, provenance: dict[str, Any]) -> DumpSettings:
    """The library's settings for a dump."""
    layout = StoreLayout.model_fields.keys() - {"calibration_contexts"}
    return DumpSettings(
        **spec.dump.model_dump(include=set(layout)),
        n_blocks=spec.rows // spec.dump.rows_per_block,
        seed=spec.seed,
        provenance=provenance,
    )


@dataclass(frozen=True)
class DumpJob:
    """One store to fill.

    Attributes:
        spec: Of the dump.
        asset: asset.json of the model.
        tokens: Record of the contexts of the split.
        calibration_tokens: Record of the contexts of the train split.
        cache: Folder of the cache; its locks lie there, wherever the store does.
        stores: Folder or URL of the stores; those of the cache where it is empty.
    """

    spec: DumpSpec
    asset: Path
    tokens: Path
    calibration_tokens: Path
    cache: Path
    stores: str = ""

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What names model and text.

        Raises:
            ValueError: the model is of another width than the configuration says.
        """
        found, entry = read_json(self.asset), self.spec.model
        if found["d_model"] != entry.d_model:
            raise ValueError(
                f"model {entry.name}: d_model is {entry.d_model} in the configuration "
                f"and {found['d_model']} in the model: correct models[].d_model"
            )
        records = (self.tokens, self.calibration_tokens)
        families = (str(read_json(record)["family"]) for record in records)
        return provenance_of(self.spec, found, *families)

    @property
    def name(self) -> str:
        """Of the store, without the hash."""
        return f"{self.spec.model.name}-{self.spec.split}"

    @property
    def rows(self) -> int:
        """Rows of whole blocks."""
        return self.spec.rows // self.spec.dump.rows_per_block * self.spec.dump.rows_per_block

    @property
    def entry(self) -> Entry:
        """The store in the cache, for its locks."""
        return Entry(self.cache, STORES, self.provenance["family"])

    @property
    def place(self) -> Storage:
        """Of all stores."""
        return stores_at(self.cache, self.stores)

    def finished(self) -> Store | None:
        """The rows, if they are all there, verified and sound."""
        return find_store(self.place, self.name, self.entry.key, self.rows)

    def filled(self) -> Storage | None:
        """The store, if all blocks are committed."""
        store = family_store(self.place, self.name, self.entry.key)
        done = store is not None and is_filled(store, self.rows, self.spec.dump.rows_per_block)
        return store if done else None

    def fill(self, device: Device) -> Storage:
        """Make what is missing; the store's place."""
        count = 1 if device_of(device).type != "cpu" else self._processes()
        if count > 1:
            say(f"dump {self.name}: {count} processes share the blocks")
            torch.set_num_threads(1)
            with ProcessPoolExecutor(
                count - 1, get_context("spawn"), torch.set_num_threads, (1,)
            ) as others:
                shares = [others.submit(self._fill, device, rank=True) for _ in range(count - 1)]
                self._fill(device, rank=True, report=True)
                for share in shares:
                    share.result()
        return self._fill(device, rank=False, report=count == 1)

    def _processes(self) -> int:
        """How many fill the store on a CPU; their models take no more than half of its memory."""
        if self.spec.is_short:
            return 1
        weights = model_folder(self.asset).glob("*.safetensors")
        held = 2 * sum(file.stat().st_size for file in weights)  # float32 of bfloat16
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(torch.get_num_threads(), memory // 2 // held))

    def _fill(self, device: Device, *, rank: bool, report: bool = False) -> Storage:
        spec, entry, place = self.spec, self.spec.model, device_of(device)
        progress = Progress(f"dump {self.name}", self.rows, "rows")

        def update(at: DumpProgress) -> None:
            done = at.blocks_done * spec.dump.rows_per_block
            progress.update(done, f"{at.tokens_per_second:,.0f} model tokens/s")

        contexts = open_tokens(self.calibration_tokens).input_ids
        return dump_activations(
            load_asset(self.asset, entry.dtype, place),
            open_tokens(self.tokens),
            torch.from_numpy(contexts[: spec.dump.calibration_contexts]).long(),
            hookpoints_of(entry, spec.hookpoints, read_json(self.asset)["model_type"]),
            self.place,
            self.name,
            settings_of(spec, self.provenance),
            device=place,
            rank=rank,
            seal=False,
            progress=update if report else None,
        )
