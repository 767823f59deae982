"""Worker: what dictionary_learning's trainSAE makes of rows in safetensors files.

    python rows_dictionary_learning.py FOLDER HOOKPOINT

Reads the files by safetensors alone, without this project. Prints JSON: shape of a batch, rows, and
the loss of the first and of the last step.
"""

from __future__ import annotations

import json
import sys
from itertools import chain, repeat
from pathlib import Path

import torch
from dictionary_learning.trainers.standard import StandardTrainer
from dictionary_learning.training import trainSAE
from safetensors.torch import load_file

STEPS = 60


def main(folder: str, hookpoint: str) -> None:
    files = sorted(Path(folder).glob("rows-*.safetensors"))
    batches = [batch.float() for file in files for batch in load_file(file)[hookpoint].split(64)]
    losses: list[float] = []

    class Watched(StandardTrainer):
        def update(self, step: int, activations: torch.Tensor) -> None:
            losses.append(float(self.loss(activations, step)))
            super().update(step, activations)

    settings = {
        "trainer": Watched,
        "steps": STEPS,
        "activation_dim": batches[0].shape[1],
        "dict_size": 48,
        "layer": 0,
        "lm_name": "none",
        "device": "cpu",
        "lr": 3e-3,
        "l1_penalty": 0.1,
        "warmup_steps": 1,
        "sparsity_warmup_steps": 1,
        "seed": 0,
    }
    data = chain.from_iterable(repeat(batches))
    trainSAE(data=data, trainer_configs=[settings], steps=STEPS, device="cpu")
    print(
        json.dumps(
            {
                "shape": list(batches[0].shape),
                "rows": sum(map(len, batches)),
                "first_loss": losses[0],
                "last_loss": losses[-1],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
