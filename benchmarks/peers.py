"""Worker: training steps of SAELens and dictionary_learning, as their own trainers make them.

Runs in the environment of benchmarks/peers-requirements.txt. Each library runs as shipped, and with
what it or PyTorch offers to go faster. dictionary_learning switches its autocast off on a CPU and
compiles nothing. Each library has its own process, because an import of one (nnsight) changes
PyTorch so that the other no longer compiles. No experiment tracking, no evaluation, no checkpoint.
"""

from __future__ import annotations

import shutil
from itertools import cycle

import torch

from benchmarks.workers import Step, arguments, load_batches, serve
from sagsae.activations.cpu_products import has_bfloat16

STEPS = 10**6  # of the run that the trainers believe they make
# Without bfloat16 in hardware autocast is tens of times slower, never the best setting: left out.
AUTOCASTS = has_bfloat16()


def saelens(
    width: int, batches: list[torch.Tensor], *, precision: str, autocast: bool, compiled: bool
) -> Step:
    """A step as in ``SAETrainer.fit``."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.gated_sae import GatedTrainingSAE, GatedTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    size, d = batches[0].shape
    sae = GatedTrainingSAE(GatedTrainingSAEConfig(d_in=d, d_sae=width, l1_coefficient=0.1))
    config = SAETrainerConfig(
        total_training_samples=STEPS * size,
        train_batch_size_samples=size,
        lr_end=3e-5,  # a tenth of lr, as the runner sets it
        autocast=autocast,
    )
    trainer = SAETrainer(config, sae, cycle(batches))
    if compiled:  # as LanguageModelSAETrainingRunner does with compile_sae
        sae.training_forward_pass = torch.compile(sae.training_forward_pass)

    def step() -> None:
        torch.set_float32_matmul_precision(precision)
        trainer.maybe_reset_sparsity()
        trainer.step(next(trainer.data_provider))
        trainer.n_training_steps += 1

    return step


def dictionary_learning(width: int, batches: list[torch.Tensor], *, precision: str) -> Step:
    """A step as in ``trainSAE``."""
    from dictionary_learning.trainers.gdm import GatedSAETrainer

    trainer = GatedSAETrainer(
        STEPS, batches[0].shape[1], width, layer=0, lm_name="none", device="cpu"
    )
    data, number = cycle(batches), iter(range(STEPS))

    def step() -> None:
        torch.set_float32_matmul_precision(precision)
        trainer.update(next(number), next(data))

    return step


def contenders(library: str, width: int, batches: list[torch.Tensor]) -> dict[str, Step]:
    """Steps by the name of a setting; compiled ones only where there is a C++ compiler."""
    if library == "dictionary_learning":
        return {
            "dictionary_learning, as shipped": dictionary_learning(
                width, batches, precision="highest"
            ),
            "dictionary_learning, medium precision": dictionary_learning(
                width, batches, precision="medium"
            ),
        }
    settings = {"as shipped": ("highest", False), "medium precision": ("medium", False)}
    if AUTOCASTS:
        settings["autocast"] = ("highest", True)
    made = {}
    for compiled in (False, True) if shutil.which("g++") else (False,):
        for name, (precision, autocast) in settings.items():
            label = f"SAELens, {name}, compiled" if compiled else f"SAELens, {name}"
            made[label] = saelens(
                width, batches, precision=precision, autocast=autocast, compiled=compiled
            )
    return made


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    serve(lambda: contenders(args.library, args.width, load_batches(args.batches)))


if __name__ == "__main__":
    main()
