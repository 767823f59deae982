"""Stage: compare the cells of one place over seeds, and two-sided ones with one-sided ones.

    python -m pipeline signs --spec @FILE --cells-root DIR --heldout JSON
        --out signs/<model>/<hookpoint>.json

The assignment of the latents of two seeds takes 2 to 3 s of a core at 4,608 latents. Poles are to
fire together with their matches on `MOST_ROWS` held-out rows at most, spread evenly over the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.cells.looks import MeasuredCells, looking_into, rows_of
from pipeline.data.manifests import open_store
from pipeline.jobs.json_files import write_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import Device
from pipeline.study.cell import Cell
from pipeline.study.looks import UsedCell, nearest_lambda
from pipeline.study.places import Place
from pipeline.study.signs import SignsRun, SignsSpec, is_two_sided, one_sided_forms
from sagsae.activations.store import Store
from sagsae.autoencoders.declaration import first_rows
from sagsae.autoencoders.dictionary import Dictionary
from sagsae.evaluation.signs import (
    consistency,
    dead_by_start,
    poles,
    signed_pairs,
    two_sided_latents,
)

# Held-out rows that are encoded for poles; so many of them at once.
MOST_ROWS, AT_ONCE = 16_384, 2_048


def some_rows(store: Store, place: Place, label: str) -> Tensor:
    """At most `MOST_ROWS` rows [n, d] of a store, evenly spread, on the CPU."""
    step = -(-store.n_rows // MOST_ROWS)
    parts = rows_of(store, place, torch.device("cpu"), label)
    return torch.cat([batch[::step] for batch in parts])


def live_rows(measured: MeasuredCells, cell: Cell, mean: Tensor) -> tuple[dict[str, Any], Tensor]:
    """What the run says of one cell, and the decoder rows [n, d] of its live latents; ``mean`` [d]
    is that of the activations."""
    metrics, firings = measured.metrics[cell], measured.firings(cell)
    sae, live = measured.autoencoder(cell), firings.sum(0) > 0
    rows = sae.W_dec[live]
    pairs = signed_pairs(rows)
    counts = {"live": len(rows), "two_sided": int(two_sided_latents(firings).sum())}
    counts |= {"opposite": pairs.opposite, "alike": pairs.alike}
    if isinstance(sae, Dictionary):
        start = dead_by_start(first_rows(sae.width, sae.d, cell.seed), mean, ~live.cpu())
        counts |= {f"dead_{name}": share for name, share in rounded(start).items()}
    return {**UsedCell.values(metrics), "collapsed": bool(metrics.collapsed), **counts}, rows


def pole_pairs(spec: SignsSpec, measured: MeasuredCells) -> Iterator[tuple[Cell, Cell]]:
    """Each two-sided cell of the recipe, and the one-sided one in which its poles are sought."""
    sound = [cell for cell in spec.cells if not measured.metrics[cell].collapsed]
    for cell in sound:
        forms = {form.knob: form for form in one_sided_forms(cell, sound)}
        l0 = {knob: measured.metrics[form].l0 for knob, form in forms.items()}
        knob = nearest_lambda(l0, measured.metrics[cell].l0)
        if knob is not None and cell.recipe == spec.recipe:
            yield cell, forms[knob]


def agreement(decoders: dict[Cell, Tensor]) -> dict[str, Any]:
    """What the run says of the cells of one lambda or k, by the decoder rows of each."""
    cells = list(decoders)
    compared = consistency(list(decoders.values()), either_sign=is_two_sided(cells[0]))
    return {"cells": cells, **rounded(compared)}


def rounded(record: Any) -> dict[str, Any]:
    """The fields of a record, its fractions to six digits."""
    return {name: round(value, 6) for name, value in asdict(record).items()}


def main(
    spec: SignsSpec, cells_root: Path, heldout: Path, out: Path, device: Device = "auto"
) -> None:
    """Look into the signs at one place, and write what was found.

    Args:
        spec: SignsSpec as JSON, or @FILE that holds it
        cells_root: folder of the cells, with metrics, weights and latents
        heldout: manifest of the held-out store
        out: JSON to write
        device: where to compute; auto: a GPU where there is one

    Raises:
        EvaluationError: weights or latents that do not belong to their metrics.
    """
    where = f"signs {spec.folder}"
    with looking_into(spec, cells_root, device, out, heldout) as measured:
        x = some_rows(open_store(heldout, spec.store), spec.place, f"{where}, rows")
        progress, mean = Progress(f"{where}, seeds", len(spec.cells), "cells"), x.float().mean(0)
        cells, agreements = [], []
        for (sweep, _), seeds in groupby(spec.cells, key=lambda cell: (cell.sweep, cell.knob)):
            decoders: dict[Cell, Tensor] = {}
            for cell in seeds:
                record, rows = live_rows(measured, cell, mean)
                cells.append(record)
                if not record["collapsed"]:
                    decoders[cell] = rows
            if len(decoders) > 1 and sweep.recipe == spec.recipe:
                agreements.append(agreement(decoders))
            progress.update(len(cells))
        pairs, counted = list(pole_pairs(spec, measured)), []
        progress = Progress(f"{where}, poles", len(pairs), "cells")
        for done, (cell, one_sided) in enumerate(pairs, start=1):
            batches = (part.to(measured.device) for part in x.split(AT_ONCE))
            counts = poles(measured.autoencoder(cell), measured.autoencoder(one_sided), batches)
            counted.append({"cell": cell, "one_sided": one_sided, **rounded(counts)})
            progress.update(done)
        result = {"rows": len(x), "cells": cells, "agreements": agreements, "poles": counted}
        write_json(out, SignsRun.made(spec, result).model_dump())
