"""What an autoencoder finds of features that are known (arXiv 2602.14687).

Each latent is judged as a detector of one feature: of that with the largest cosine to its decoder
row. A two-sided latent is two detectors, one for each sign.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.synthetic.features import Drawn, KnownFeatures

FOUND = 0.5
"""Least F1 of a detector that has found its feature."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How far an autoencoder has found the features.

    Attributes:
        f1: Mean over detectors of the harmonic mean of precision and recall; 0 for dead ones.
        precision, recall: Means over detectors; 0 where they are not defined.
        features_found: How many features some detector fires for with an F1 of at least
            `FOUND`. Unlike a mean over detectors, a count does not fall as latents are added.
        mcc: Mean size of the cosine of one-to-one pairs of a decoder row and a feature, as many as
            the smaller of the two has, whose sum is largest.
        uniqueness: Share of the detectors that different features are nearest to.
        shrinkage: Mean over rows of |reconstruction| / |row|.
        true_l0: Mean number of features in a row.
    """

    f1: float
    precision: float
    recall: float
    features_found: int
    mcc: float
    uniqueness: float
    shrinkage: float
    true_l0: float


def matched_cosine(rows: Tensor, features: Tensor) -> float:
    """MCC of rows [H, d] and features [N, d], see `Truth` (arXiv 2505.20254)."""
    cosine = _unit(rows) @ _unit(features).T
    first, second = linear_sum_assignment(cosine.abs().cpu().numpy(), maximize=True)
    return float(cosine[first, second].abs().mean())


def judged(autoencoder: Autoencoder, features: KnownFeatures, blocks: Iterable[Drawn]) -> Truth:
    """Judge an autoencoder by rows whose features are known.

    Args:
        autoencoder: On any device.
        features: What the rows are made of.
        blocks: Rows that it was not trained on.

    Raises:
        ValueError: there are no rows.
    """
    W_dec = autoencoder.W_dec.detach().float()
    two_sided = getattr(autoencoder, "two_sided", False)
    detectors = torch.cat([W_dec, -W_dec]) if two_sided else W_dec
    cosine = _unit(detectors) @ _unit(features.directions.to(W_dec.device)).T
    nearest = (cosine if two_sided or features.signed else cosine.abs()).argmax(1)
    hits, fired, present = W_dec.new_zeros(3, len(detectors), dtype=torch.float64)
    rows, shrunk, active = 0, 0.0, 0
    with torch.inference_mode():
        for drawn in blocks:
            x, sizes = (part.to(W_dec.device) for part in drawn)
            z = autoencoder.encode(x)
            fires = torch.cat([z > 0, z < 0], 1) if two_sided else z != 0
            there = sizes[:, nearest] > 0
            if features.signed and not two_sided:
                there = sizes[:, nearest] != 0
            hits += (fires & there).sum(0)
            fired += fires.sum(0)
            present += there.sum(0)
            y = autoencoder.decode(z) if autoencoder.target is None else autoencoder(x)
            shrunk += float((y.float().norm(dim=1) / x.norm(dim=1)).sum())
            active += int((sizes != 0).sum())
            rows += len(x)
    if not rows:
        raise ValueError("no rows to judge by")
    precision, recall = (hits / of.clamp_min(1) for of in (fired, present))
    f1 = 2 * precision * recall / (precision + recall).clamp_min(1e-300)
    return Truth(
        f1=float(f1.mean()),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        features_found=len(nearest[f1 >= FOUND].unique()),
        mcc=matched_cosine(W_dec, features.directions.to(W_dec.device)),
        uniqueness=len(nearest.unique()) / len(nearest),
        shrinkage=shrunk / rows,
        true_l0=active / rows,
    )


def _unit(rows: Tensor) -> Tensor:
    norms: Tensor = rows.norm(dim=1)
    return rows / norms.clamp_min(1e-12)[:, None]
