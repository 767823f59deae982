"""Worker: rows and metrics of SAELens's own synthetic benchmark.

    python known_features.py FEATURES D ROOTS ROWS IN.safetensors OUT.safetensors

``IN`` has ``decoder`` [H, d], ``features`` [N, d], ``latents`` [B, H], ``sizes`` [B, N], ``x`` and
``y`` [B, d], of which JSON with the metrics is printed. ``OUT`` gets ``fires`` [ROWS, N] and
``sizes`` of the benchmark's generator at reduced scale, and ``drawn`` [N], its rates before the
hierarchy.
"""

from __future__ import annotations

import json
import sys

import torch
from sae_lens.synthetic import (
    FoldedNormalMagnitudeConfig,
    HierarchyConfig,
    LinearMagnitudeConfig,
    LowRankCorrelationConfig,
    ShrinkageCalculator,
    SyntheticModel,
    SyntheticModelConfig,
    ZipfianFiringProbabilityConfig,
    compute_classification_metrics,
    feature_uniqueness,
    mean_correlation_coefficient,
)
from safetensors.torch import load_file, save_file


def main(features: str, d: str, roots: str, rows: str, given: str, out: str) -> None:
    x = load_file(given)
    judged = compute_classification_metrics(x["latents"], x["sizes"], x["decoder"], x["features"])
    shrinkage = ShrinkageCalculator()
    shrinkage.add_batch(x["y"], x["x"])
    metrics = {
        "f1": judged.f1_score,
        "precision": judged.precision,
        "recall": judged.recall,
        "mcc": mean_correlation_coefficient(x["decoder"], x["features"]),
        "uniqueness": feature_uniqueness(x["decoder"], x["features"]),
        "shrinkage": shrinkage.compute(),
    }
    hierarchy = HierarchyConfig(
        total_root_nodes=int(roots),
        branching_factor=4,
        max_depth=3,
        mutually_exclusive_portion=1.0,
        compensate_probabilities=True,
        scale_children_by_parent=True,
    )
    model = SyntheticModel(
        SyntheticModelConfig(
            num_features=int(features),
            hidden_dim=int(d),
            firing_probability=ZipfianFiringProbabilityConfig(0.5, 0.4, 5e-4),
            hierarchy=hierarchy,
            correlation=LowRankCorrelationConfig(rank=25, correlation_scale=0.1),
            mean_firing_magnitudes=LinearMagnitudeConfig(5.0, 4.0),
            std_firing_magnitudes=FoldedNormalMagnitudeConfig(0.5, 0.5),
            bias=0.5,
            seed=0,
        )
    )
    generator = model.activation_generator
    parts = [generator.sample(1024) for _ in range(int(rows) // 1024)]
    sizes = torch.cat(parts)
    drawn = generator.firing_probabilities.contiguous()
    save_file({"sizes": sizes, "drawn": drawn}, out)
    print(json.dumps(metrics))


if __name__ == "__main__":
    main(*sys.argv[1:])
