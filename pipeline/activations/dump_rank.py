"""Stage: one of several jobs that fill an activation store together, each on a GPU of its own.

A rank makes blocks that no other rank makes, until there are none left. Ranks may start and end at
any time; a rank that is killed leaves its block to those that come after. The stage ``dump`` then
seals the store.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.activations.dump_job import DumpJob
from pipeline.config.specs import DumpSpec
from pipeline.jobs.cache import using, write_record
from pipeline.jobs.json_files import digest
from pipeline.jobs.stage import Device


def main(
    spec: DumpSpec,
    asset: Path,
    tokens: Path,
    calibration_tokens: Path,
    cache: Path,
    out: Path,
    device: Device = "auto",
    stores: str = "",
) -> None:
    """Dump blocks that nobody else dumps, and record the store, so that it is not pruned.

    Args:
        spec: DumpSpec as JSON
        asset: asset.json of the model
        tokens: record of the contexts of this split
        calibration_tokens: record of the contexts of the train split
        cache: folder of the cache
        out: record to write
        device: where to compute; auto: a GPU where there is one
        stores: folder or s3:// URL of the stores; the cache's own where it is not given
    """
    job = DumpJob(spec, asset, tokens, calibration_tokens, cache, stores)
    with using(asset, tokens, calibration_tokens), job.entry.used():
        place = job.filled()
        if place is None:
            with job.entry.making(shared=True):
                place = job.filled() or job.fill(device, rank=True)
        write_record(out, {"family": job.entry.key, "spec": digest(spec)}, place)
