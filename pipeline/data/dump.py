"""Stage: one pass of a language model fills an activation store in the cache, and is recorded.

A store serves all studies whose settings differ in the number of rows alone. A study that needs
more rows adds blocks to it; one that needs fewer reads its first blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from pipeline.data.fetch import load_asset
from pipeline.data.hookpoints import hookpoints_of
from pipeline.data.manifests import describe
from pipeline.data.passes import DUMPED
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.cache import STORES, Entry, using, write_record
from pipeline.jobs.json_files import digest, read_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import Device, device_of
from pipeline.study.specs import DumpSpec
from sagsae.activations import DumpProgress, DumpSettings, Store, dump_activations
from sagsae.storage import Storage, storage_at

# Contexts of the training split from which the median norms are taken.
CALIBRATION_CONTEXTS = 64
# How chunks are compressed.
Profile = Literal["plain", "disk"]


@dataclass(frozen=True)
class DumpJob:
    """One store to fill.

    Attributes:
        spec: Of the dump.
        asset: asset.json of the model.
        tokens: Record of the contexts of the split.
        calibration_tokens: Record of the contexts of the train split.
        stores: Where the stores are.
        profile: How chunks are compressed.
        sharded: Whether each block of a hookpoint is one file.
    """

    spec: DumpSpec
    asset: Path
    tokens: Path
    calibration_tokens: Path
    stores: Storage
    profile: Profile = "plain"
    sharded: bool = False

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What names model and text; ``family`` is a digest of all that determines the rows but
        their number.

        Raises:
            ValueError: the model is of another width than the configuration says.
        """
        spec, model, asset = self.spec, self.spec.model, read_json(self.asset)
        if asset["d_model"] != model.d_model:
            raise ValueError(
                f"model {model.name}: d_model is {model.d_model} in the configuration "
                f"and {asset['d_model']} in the model: correct models[].d_model"
            )
        named = {
            "model": model.name,
            "layer": model.layer,
            "model_dtype": model.dtype,
            "split": spec.split,
            "weights_sha256": asset["weights_sha256"],
            "tokenizer_sha256": asset["tokenizer_sha256"],
            "revision": asset["resolved_revision"],
            "tokens": read_json(self.tokens)["family"],
            "torch": torch.__version__.split("+")[0],
        }
        determined = spec.model_dump(exclude={"rows", "tokens", "calibration_tokens"})
        of_text = {"calibration_tokens": read_json(self.calibration_tokens)["family"]}
        return named | {"family": digest(determined | of_text | {"named": named})}

    @property
    def name(self) -> str:
        """Of the store, without the hash."""
        return f"{self.spec.model.name}-{self.spec.split}"

    @property
    def blocks(self) -> int:
        """Whole blocks that there are to be."""
        return self.spec.rows // self.spec.dump.rows_per_block

    def fill(self, device: Device) -> Store:
        """Make what is missing of the rows, and seal them."""
        spec, entry, place = self.spec, self.spec.model, device_of(device)
        rows = self.blocks * spec.dump.rows_per_block
        progress = Progress(f"dump {self.name}", rows, "rows")

        def update(at: DumpProgress) -> None:
            done = at.blocks_done * spec.dump.rows_per_block
            progress.update(done, f"{at.tokens_per_second:,.0f} model tokens/s")

        contexts = open_tokens(self.calibration_tokens).input_ids
        settings = DumpSettings(
            **spec.model_dump()["dump"],
            batch_contexts=DUMPED[place.type],
            profile=self.profile,
            sharded=self.sharded,
            n_blocks=self.blocks,
            seed=spec.seed,
            provenance=self.provenance,
        )
        made = dump_activations(
            load_asset(self.asset, entry.dtype, place),
            open_tokens(self.tokens),
            torch.from_numpy(contexts[:CALIBRATION_CONTEXTS]).long(),
            hookpoints_of(entry, spec.hookpoints, read_json(self.asset)["model_type"]),
            self.stores,
            self.name,
            settings,
            device=place,
            progress=update,
        )
        return Store.open(made, rows=rows)


def main(
    spec: DumpSpec,
    asset: Path,
    tokens: Path,
    calibration_tokens: Path,
    cache: Path,
    out: Path,
    device: Device = "auto",
    stores: str = "",
    profile: Profile = "plain",
    sharded: Literal[0, 1] = 0,
) -> None:
    """Dump the rows that are not there yet, and record the store.

    Args:
        spec: DumpSpec as JSON
        asset: asset.json of the model
        tokens: record of the contexts of this split
        calibration_tokens: record of the contexts of the train split
        cache: folder of the cache
        out: manifest to write
        device: where to compute; auto: a GPU where there is one
        stores: folder or s3:// URL of the stores; the cache's own where it is not given
        profile: how chunks are compressed
        sharded: 1: each block of a hookpoint in one file
    """
    place = storage_at(stores or cache / STORES)
    job = DumpJob(spec, asset, tokens, calibration_tokens, place, profile, bool(sharded))
    entry = Entry(cache, STORES, job.provenance["family"])
    with using(asset, tokens, calibration_tokens), entry.used(), entry.making():
        store = job.fill(device)
        write_record(out, describe(store, spec), store.storage)
