"""Stage: steer a language model with the latents of one place, with opposite pairs and at random.

    python -m pipeline dial --spec @FILE --cells-root DIR --heldout JSON --baselines JSON
        --asset JSON --out dial/<model>/<hookpoint>/seed0.json

The cell of each side is the one at the lambda whose L0 is nearest the level of the specification.
Sizes are in units of the root mean square distance of the held-out activations from their mean, so
that they mean the same for every direction of a place, and on every model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.cells.looks import EvaluationError, MeasuredCells, looking_into, rows_of
from pipeline.data.baselines import Baselines, read_baselines
from pipeline.data.fetch import load_asset, model_folder
from pipeline.data.manifests import open_store
from pipeline.data.passes import STEERED
from pipeline.jobs.json_files import write_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import Device
from pipeline.study.cell import Cell
from pipeline.study.dial import LATENT, PAIR, RANDOM, DialRun, DialSpec
from pipeline.study.looks import UsedCell, chosen_cell
from pipeline.study.metrics import CellMetrics
from sagsae.activations.language_models import load_tokenizer
from sagsae.activations.store import Store
from sagsae.autoencoders.base import Autoencoder
from sagsae.evaluation.calibration import Firings
from sagsae.evaluation.metrics import accumulate
from sagsae.evaluation.steering.dial import Curves, Steering, interventions, steer
from sagsae.evaluation.steering.directions import (
    Arms,
    opposite_pairs,
    random_directions,
    strongest_two_sided,
    unit,
)

# Tokens that each sense of a direction promotes most, whose logits are compared.
PROMOTED = 10


@dataclass(frozen=True)
class Side:
    """One side of the comparison: its metrics, its weights, and how its latents fire."""

    metrics: CellMetrics
    sae: Autoencoder
    firings: Firings

    @property
    def unit(self) -> float:
        """Root mean square distance of the held-out activations from their mean."""
        return math.sqrt(self.metrics.sst / self.metrics.eval_tokens)

    def known(self, latents: Sequence[int], sizes: Tensor) -> dict[str, Any]:
        """What is recorded of latents that are steered with.

        Args:
            latents: their numbers.
            sizes: root mean squares of z that are theirs, at unit mean square.
        """
        energy = self.firings.energy.sum(0)
        scale = self.sae.scale * self.unit
        return {
            "latents": list(latents),
            "contribution": float(energy[list(latents)].sum() / energy.sum()),
            "own_sizes": (sizes / scale).tolist(),
        }


def directions(
    spec: DialSpec, candidate: Side, baseline: Side | None
) -> tuple[list[dict[str, Any]], Arms]:
    """What is steered along: the record of each direction, and its arms."""
    rows = unit(candidate.sae.W_dec).cpu()
    count, energy = candidate.firings.count, candidate.firings.energy
    latents = strongest_two_sided(candidate.firings, spec.dial.latents)
    by_side = (energy / count).sqrt()
    records = [
        {"kind": LATENT, "rank": rank, **candidate.known([i], by_side[:, i])}
        for rank, i in enumerate(latents.tolist(), start=1)
    ]
    parts = [Arms.signed(rows[latents])]
    if baseline is not None:
        decoder, firings = baseline.sae.W_dec, baseline.firings
        pairs, cosines = opposite_pairs(decoder, firings, spec.dial.pairs)
        size = (firings.energy.sum(0) / firings.count.sum(0)).sqrt()
        for rank, (pair, cosine) in enumerate(zip(pairs, cosines.tolist(), strict=True), start=1):
            known = baseline.known(pair.tolist(), size[pair])
            records.append({"kind": PAIR, "rank": rank, "cosine": cosine, **known})
        both = unit(decoder).cpu()[pairs]
        parts.append(Arms(both[:, 0], both[:, 1]))
    drawn = random_directions(spec.dial.random, candidate.sae.d, spec.seed)
    parts.append(Arms.signed(drawn))
    ranks = range(1, spec.dial.random + 1)
    records += [{"kind": RANDOM, "rank": rank, "latents": []} for rank in ranks]
    return records, Arms.joined(*parts)


def _side(cells: MeasuredCells, cell: Cell, store: Store, label: str) -> Side:
    sae = cells.autoencoder(cell)
    rows = rows_of(store, cell.place, cells.device, f"{label}, firings of {cell.variant}")
    return Side(cells.metrics[cell], sae, accumulate(sae, rows).firings)


def _curves(spec: DialSpec, model: Any, losses: Baselines, arms: Arms, unit: float) -> Curves:
    """What steps of a language model along some arms do; ``unit`` is the size of alpha = 1."""
    plan = spec.dial
    steering = Steering(
        model=model,
        hookpoint=losses.ablations[spec.place.predicts].hookpoint,
        positions=plan.positions,
        tokens=PROMOTED,
        batch=STEERED[model.device.type],
    )
    contexts = losses.contexts.first(plan.contexts)
    total = interventions(plan.contexts, len(arms), len(plan.alphas))
    progress = Progress(f"dial {spec.model}/{spec.hookpoint}", total, "steered contexts")
    return steer(steering, contexts, arms, [a * unit for a in plan.alphas], progress.update)


def main(
    spec: DialSpec,
    cells_root: Path,
    heldout: Path,
    baselines: Path,
    asset: Path,
    out: Path,
    device: Device = "auto",
) -> None:
    """Steer at one place, and write what was found.

    Args:
        spec: DialSpec as JSON, or @FILE that holds it
        cells_root: folder of the cells, with metrics and weights
        heldout: manifest of the held-out store
        baselines: baselines JSON of the model
        asset: asset.json of the model
        out: JSON to write
        device: where to compute; auto: a GPU where there is one

    Raises:
        EvaluationError: no cell of the candidate fires, or weights that do not belong to their
            metrics.
    """
    label, records = f"dial {spec.model}/{spec.hookpoint}", (heldout, baselines, asset)
    with looking_into(spec, cells_root, device, out, *records) as cells:
        store, losses = open_store(heldout), read_baselines(baselines, spec.place.predicts)
        chosen = (chosen_cell(spec, side, cells.metrics) for side in spec.sides)
        candidate, baseline = (
            _side(cells, cell, store, label) if cell else None for cell in chosen
        )
        if candidate is None:
            raise EvaluationError(f"{label}: no cell of the candidate fires: mend its lambdas")
        directed, arms = directions(spec, candidate, baseline)
        model = load_asset(asset, losses.dtype, cells.device)
        curves, sizes = _curves(spec, model, losses, arms, candidate.unit), spec.dial.alphas
        decode = load_tokenizer(model_folder(asset)).decode
        for i, record in enumerate(directed):
            record |= {k: getattr(curves, k)[i].tolist() for k in ("kl", "effect", "effect_se")}
            record["promoted"] = [[decode([t]) for t in arm] for arm in curves.promoted[i].tolist()]
        measured = {
            "candidate": UsedCell.values(candidate.metrics),
            "baseline": baseline and UsedCell.values(baseline.metrics),
            "unit": candidate.unit,
            "sizes": [*(-size for size in reversed(sizes)), 0.0, *sizes],
            "contexts": curves.contexts,
            "positions": curves.positions,
            "directions": directed,
        }
        write_json(out, DialRun.made(spec, measured).model_dump())
