"""Stage: one pass of a language model fills an activation store in the cache, and is recorded.

A store serves all studies whose settings differ in the number of rows alone. A study that needs
more rows adds blocks to it; one that needs fewer reads its first blocks.

Sealing a store reads all that is new and needs no GPU. A dump under a lease gives the GPU back
first: it becomes the stage ``seal``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.activations.dump_job import DumpJob
from pipeline.activations.manifests import describe
from pipeline.activations.seal import seal_store
from pipeline.config.specs import DumpSpec
from pipeline.jobs.cache import using, write_record
from pipeline.jobs.gpu_lease import become_without_gpu, is_leased
from pipeline.jobs.json_files import canonical
from pipeline.jobs.stage import Device
from sagsae.activations import Store


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
    """
    job = DumpJob(spec, asset, tokens, calibration_tokens, cache, stores)
    with using(asset, tokens, calibration_tokens), job.entry.used() as lock:
        store = job.finished()
        if store is None:
            with job.entry.making():
                place = job.filled() or job.fill(device)
                if not is_leased():
                    seal_store(place, job.rows)
            if is_leased():
                stage = [sys.executable, "-m", "pipeline", "seal", "--spec", canonical(spec)]
                stage += ["--store", str(place), "--cache", str(cache), "--out", str(out)]
                held = lock.inheritable()
                become_without_gpu([*stage, "--held", str(held)], keep=(held,))
            store = Store.open(place, rows=job.rows)
        write_record(out, describe(store, spec), store.storage)
