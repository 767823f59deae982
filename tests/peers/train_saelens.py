"""Worker: autoencoders that SAELens's own trainer trains, saved as it saves them.

    python train_saelens.py ROWS.safetensors OUT

``OUT/NAME`` is the folder of each. ``OUT/out.safetensors`` has ``NAME.f`` and ``NAME.x_hat``, by
SAELens's own loader, of the rows ``x`` [B, d] on which it was trained.
"""

from __future__ import annotations

import sys
from itertools import cycle
from pathlib import Path

import torch
from sae_lens import SAE
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.gated_sae import GatedTrainingSAE, GatedTrainingSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import load_file, save_file

STEPS, WIDTH, K = 60, 48, 6
KINDS = {
    "gated": (GatedTrainingSAE, GatedTrainingSAEConfig, {"l1_coefficient": 0.3}),
    "gated-uncentred": (
        GatedTrainingSAE,
        GatedTrainingSAEConfig,
        {"l1_coefficient": 0.3, "apply_b_dec_to_input": False},
    ),
    "standard": (StandardTrainingSAE, StandardTrainingSAEConfig, {"l1_coefficient": 0.3}),
    "jumprelu": (JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig, {"l0_coefficient": 0.3}),
    "topk": (TopKTrainingSAE, TopKTrainingSAEConfig, {"k": K}),
    "topk-unscaled": (
        TopKTrainingSAE,
        TopKTrainingSAEConfig,
        {"k": K, "rescale_acts_by_decoder_norm": False},
    ),
    "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {"k": K}),
}


def main(rows: str, out: str) -> None:
    x, tensors = load_file(rows)["x"], {}
    for name, (kind, config, settings) in KINDS.items():
        torch.manual_seed(0)
        sae = kind(config(d_in=x.shape[1], d_sae=WIDTH, **settings))
        batches = x.split(64)
        trainer = SAETrainer(
            SAETrainerConfig(
                total_training_samples=STEPS * 64,
                train_batch_size_samples=64,
                lr=3e-3,
                lr_end=3e-4,
            ),
            sae,
            cycle(batches),
        )
        for _ in range(STEPS):
            trainer.step(next(trainer.data_provider))
            trainer.n_training_steps += 1
        sae.save_inference_model(Path(out) / name)
        loaded = SAE.load_from_disk(Path(out) / name)
        with torch.no_grad():
            f = loaded.encode(x)
            x_hat = loaded.decode(f)
        tensors[f"{name}.f"] = f.to_dense() if f.is_sparse else f
        tensors[f"{name}.x_hat"] = x_hat
    save_file(tensors, Path(out) / "out.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
