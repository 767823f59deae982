"""Worker: autoencoders that dictionary_learning's own trainers train, saved as ``trainSAE`` does.

    python train_dictionary_learning.py ROWS.safetensors OUT

``OUT/NAME`` is the folder of each. ``OUT/out.safetensors`` has ``NAME.f`` and ``NAME.x_hat``, by
dictionary_learning's own loader, of the rows ``x`` [B, d] on which it was trained.
"""

from __future__ import annotations

import json
import sys
from itertools import cycle
from pathlib import Path

import torch
from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
from dictionary_learning.trainers.gdm import GatedSAETrainer
from dictionary_learning.trainers.jumprelu import JumpReluTrainer
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
from dictionary_learning.trainers.standard import StandardTrainer, StandardTrainerAprilUpdate
from dictionary_learning.trainers.top_k import TopKTrainer
from safetensors.torch import load_file, save_file

STEPS, WIDTH, K = 60, 48, 6
WARM = {"warmup_steps": 5, "sparsity_warmup_steps": 5}
TOP = {"k": K, "warmup_steps": 5, "threshold_start_step": 10}
KINDS = {
    "GatedAutoEncoder": (GatedSAETrainer, {**WARM, "l1_penalty": 0.3, "lr": 3e-3}),
    "AutoEncoder": (StandardTrainer, {**WARM, "l1_penalty": 0.3, "lr": 3e-3}),
    "AutoEncoderNew": (StandardTrainerAprilUpdate, {**WARM, "l1_penalty": 0.3, "lr": 3e-3}),
    "JumpReluAutoEncoder": (JumpReluTrainer, {**WARM, "lr": 3e-3}),
    "AutoEncoderTopK": (TopKTrainer, {**TOP, "lr": 3e-3}),
    "BatchTopKSAE": (BatchTopKTrainer, {**TOP, "lr": 3e-3}),
    "MatryoshkaBatchTopKSAE": (
        MatryoshkaBatchTopKTrainer,
        {**TOP, "lr": 3e-3, "group_fractions": [0.5, 0.5]},
    ),
}


def main(rows: str, out: str) -> None:
    x, tensors = load_file(rows)["x"], {}
    for name, (kind, settings) in KINDS.items():
        trainer = kind(
            steps=STEPS,
            activation_dim=x.shape[1],
            dict_size=WIDTH,
            layer=0,
            lm_name="none",
            device="cpu",
            seed=0,
            **settings,
        )
        batches = cycle(x.split(64))
        for step in range(STEPS):
            trainer.update(step, next(batches))
        folder = Path(out) / name
        folder.mkdir(parents=True)
        torch.save({k: v.cpu() for k, v in trainer.ae.state_dict().items()}, folder / "ae.pt")
        (folder / "config.json").write_text(json.dumps({"trainer": trainer.config}))
        loaded = type(trainer.ae).from_pretrained(folder / "ae.pt")
        with torch.no_grad():
            tensors[f"{name}.f"] = f = loaded.encode(x).contiguous()
            tensors[f"{name}.x_hat"] = loaded.decode(f).contiguous()
    save_file(tensors, Path(out) / "out.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
