"""Which positions of a context are kept: neither the first, nor any with a massive norm.

The first position of a context, and a few others, carry norms a hundred times the usual ones. If
they stayed, they would make up most of the variance that reconstructions are measured against.
Medians are computed once, from calibration contexts, and kept with the store. So every block and
every later splice uses the very same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from sagsae.activations.hookpoints import Hookpoint, capture, run_captured
from sagsae.activations.layout import CALIBRATION, StoreError
from sagsae.activations.storage import Location, storage_at
from sagsae.files import checked_json, signed_json


def kept_mask(
    activations: Mapping[str, Tensor], medians: Mapping[str, float], ratio: float
) -> Tensor:
    """Positions that are stored, trained on, spliced and evaluated.

    A position is dropped when it is the first of its context, or when its norm exceeds `ratio`
    times the median in any hookpoint: rows are shared by all hookpoints.

    Args:
        activations: [batch, ctx, d] of every hookpoint.
        medians: median norm of every hookpoint, see `median_norms`.
        ratio: the largest norm kept, over the median.

    Returns:
        [batch, ctx] bool. Rows that are not finite are kept, so that the store refuses them:
        dropping them would hide a broken model.
    """
    norms = {name: _norms(x) for name, x in activations.items()}
    massive = torch.stack([norm > ratio * medians[name] for name, norm in norms.items()]).any(0)
    finite = torch.stack([torch.isfinite(norm) for norm in norms.values()]).all(0)
    kept = ~(massive & finite)
    kept[:, 0] = False
    return kept


def median_norms(
    model: nn.Module,
    hookpoints: Mapping[str, Hookpoint],
    contexts: Tensor,
    batch_contexts: int,
    device: torch.device | str,
) -> dict[str, float]:
    """Median norm of every hookpoint over `contexts` [n, L], first positions left out."""
    norms: dict[str, list[Tensor]] = {name: [] for name in hookpoints}
    with capture(model, hookpoints) as captured:
        for batch in torch.split(contexts, batch_contexts):
            run_captured(model, batch.to(device, torch.long))
            for name, x in captured.items():
                norms[name].append(_norms(x[:, 1:]).flatten())
    found = {name: torch.cat(parts).cpu().numpy() for name, parts in norms.items()}
    medians = {name: float(np.median(values)) for name, values in found.items()}
    for name, median in medians.items():
        if not np.isfinite(median) or median <= 0:
            raise ValueError(
                f"median norm of hookpoint {name!r} over {len(contexts)} calibration contexts is "
                f"{median}; check the model's weights and dtype"
            )
    return medians


def save_calibration(where: Location, medians: Mapping[str, float]) -> None:
    """Keep the medians with a store."""
    storage_at(where).write(CALIBRATION, signed_json({"median_norms": dict(medians)}))


def load_calibration(where: Location) -> dict[str, float]:
    """Median norm of every hookpoint of a store.

    Raises:
        StoreError: the file is absent or was edited.
    """
    try:
        return dict(checked_json(storage_at(where).read(CALIBRATION))["median_norms"])
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise StoreError(
            f"{where}/{CALIBRATION} cannot be used ({error}); delete it and dump again, which "
            "computes it"
        ) from error


def _norms(x: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)
    return norms
