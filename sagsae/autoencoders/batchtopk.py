"""BatchTopK (Bussmann et al. 2024, arXiv 2412.06410), and its two-sided form.

In training, the k B largest rectified pre-activations of a batch of B tokens are kept: k a token on
average. After it, a latent is active where it exceeds one threshold for all latents, the mean over
batches of the smallest value that was kept. So the code of a token does not depend on the others.

The threshold is found when the weights no longer change, over `CALIBRATION_ROWS` rows of the
training stream, and the L0 that it gives there is compared with k. `AbsBatchTopK` selects by size
and keeps signs, as the code of AbsTopK's authors does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sagsae.autoencoders.base import Target
from sagsae.autoencoders.declaration import BY_BATCH
from sagsae.autoencoders.topk import KSparse
from sagsae.training.recipe import DEFAULTS, Recipe

CALIBRATION_ROWS = 32_768
# How far the L0 at the threshold may be from k, as a share of k.
TOLERANCE = 0.02
# Values that are looked at of each batch, in multiples of k B: more than exceed any threshold.
MARGIN = 2


class BatchTopK(KSparse):
    """``z = pre`` on the k B largest ReLU(pre) of a batch; later where pre exceeds a threshold."""

    name = "batchtopk"
    calibration_rows = CALIBRATION_ROWS
    opened = BY_BATCH

    def __init__(
        self, d: int, width: int, scale: float = 1.0, target: Target | None = None
    ) -> None:
        super().__init__(d, width, scale, target)
        self.register_buffer("threshold", torch.zeros(()))
        self.calibrated = True  # a threshold from a file is

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """As `KSparse.initialise`; the threshold is to be calibrated after training."""
        super().initialise(mean, seed, recipe)
        self.calibrated = False

    @property
    def unfinished(self) -> str:
        return super().unfinished or ("" if self.calibrated else "calibrate(batches)")

    def calibrate(self, batches: Iterator[Tensor]) -> dict[str, Any]:
        """Set the threshold to the mean over batches of the smallest value that is kept.

        Returns:
            ``threshold``, its value; ``threshold_at_k``, the one that gives an L0 of k on all rows
            together; ``l0``, that of the first. ``fault`` where this is off k by over 2 %.
        """
        k, rows, cuts, values = int(self.k), 0, [], []
        with torch.no_grad():
            for x in batches:
                pre = self.pre_activations(x)
                wanted = k * len(x)
                most = min(MARGIN * wanted, pre.numel())
                top = self.key(pre).flatten().topk(most).values.double()
                kept = top[:wanted]
                if (positive := kept[kept > 0]).numel():
                    cuts.append(positive[-1])
                values.append(top)
                rows += len(x)
            every = torch.cat(values).sort(descending=True).values
            threshold = torch.stack(cuts).mean() if cuts else every.new_zeros(())
            self.threshold.copy_(threshold)
            self.calibrated = True
            l0 = int((every > self.threshold.double()).sum()) / rows
        record: dict[str, Any] = {
            "threshold": float(threshold),
            "threshold_at_k": float(every[min(k * rows, len(every)) - 1]),
            "l0": l0,
        }
        if abs(l0 - k) > TOLERANCE * k:
            record["fault"] = f"the threshold gives L0 {l0:.4g} on calibration rows, k is {k}"
        return record


class AbsBatchTopK(BatchTopK):
    """``z = pre`` on the k B largest |pre| of a batch; later where |pre| exceeds a threshold."""

    name = "absbatchtopk"
    two_sided = True
