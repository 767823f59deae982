"""Worker: training steps of other libraries' ReLU, TopK, BatchTopK, JumpReLU, AbsTopK, Matryoshka.

Each library makes its own trainer's step, as shipped and in the settings that it or PyTorch offers
to go faster; see `benchmarks.peers`. sparsify's trainer wants a language model, so its step is the
part of ``Trainer.fit`` that follows the activations, with Adam; it has TopK alone. On a CPU it has
neither autocast nor its Triton kernel.
"""

from __future__ import annotations

import shutil
from itertools import cycle
from typing import Any

import torch

from benchmarks.peers import AUTOCASTS, STEPS
from benchmarks.workers import Step, arguments, load_batches, serve

Batches = list[torch.Tensor]
SHIPPED, MEDIUM, AUTOCAST = "as shipped", "medium precision", "autocast"


def saelens(name: str, width: int, k: int, batches: Batches) -> dict[str, Step]:
    """Steps of one variant by setting, as in ``SAETrainer.fit``."""
    from sae_lens.saes.abstopk_sae import AbsTopKTrainingSAE, AbsTopKTrainingSAEConfig
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
    from sae_lens.saes.matryoshka_batchtopk_sae import (
        MatryoshkaBatchTopKTrainingSAE,
        MatryoshkaBatchTopKTrainingSAEConfig,
    )
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    levels = [width // 32, 3 * width // 32, 7 * width // 32, 15 * width // 32, width]
    kinds: dict[str, Any] = {
        "relu": (StandardTrainingSAE, StandardTrainingSAEConfig, {"l1_coefficient": 0.1}),
        "topk": (TopKTrainingSAE, TopKTrainingSAEConfig, {"k": k}),
        "abstopk": (AbsTopKTrainingSAE, AbsTopKTrainingSAEConfig, {"k": k}),
        "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {"k": k}),
        "jumprelu": (JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig, {"l0_coefficient": 0.01}),
        "matryoshka_batchtopk": (
            MatryoshkaBatchTopKTrainingSAE,
            MatryoshkaBatchTopKTrainingSAEConfig,
            {"k": k, "matryoshka_widths": levels},
        ),
    }
    if name not in kinds:
        return {}
    kind, config, settings = kinds[name]
    size, d = batches[0].shape

    def made(precision: str, changes: dict[str, Any], autocast: bool, compiled: bool) -> Step:
        from sae_lens.config import SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        sae = kind(config(d_in=d, d_sae=width, **settings, **changes))
        how = SAETrainerConfig(
            total_training_samples=STEPS * size,
            train_batch_size_samples=size,
            lr_end=3e-5,
            autocast=autocast,
        )
        trainer = SAETrainer(how, sae, cycle(batches))
        if compiled:
            sae.training_forward_pass = torch.compile(sae.training_forward_pass)

        def step() -> None:
            torch.set_float32_matmul_precision(precision)
            trainer.maybe_reset_sparsity()
            trainer.step(next(trainer.data_provider))
            trainer.n_training_steps += 1

        return step

    found = {
        SHIPPED: made("highest", {}, False, False),
        MEDIUM: made("medium", {}, False, False),
    }
    if AUTOCASTS:
        found[AUTOCAST] = made("highest", {}, True, False)
    if name == "topk":
        found["sparse activations"] = made("medium", {"use_sparse_activations": True}, False, False)
    if shutil.which("g++"):  # compile_sae
        found[f"{MEDIUM}, compiled"] = made("medium", {}, False, True)
        if AUTOCASTS:
            found[f"{AUTOCAST}, compiled"] = made("highest", {}, True, True)
    return found


def dictionary_learning(name: str, width: int, k: int, batches: Batches) -> dict[str, Step]:
    """Steps of one variant by setting, as in ``trainSAE``."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainerAprilUpdate
    from dictionary_learning.trainers.top_k import TopKTrainer

    fractions = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 17 / 32]
    kinds: dict[str, Any] = {
        "relu": (StandardTrainerAprilUpdate, {}),
        "topk": (TopKTrainer, {"k": k}),
        "batchtopk": (BatchTopKTrainer, {"k": k}),
        "jumprelu": (JumpReluTrainer, {"target_l0": float(k)}),
        "matryoshka_batchtopk": (
            MatryoshkaBatchTopKTrainer,
            {"k": k, "group_fractions": fractions},
        ),
    }
    if name not in kinds:
        return {}
    kind, settings = kinds[name]

    def made(precision: str) -> Step:
        trainer = kind(
            steps=STEPS,
            activation_dim=batches[0].shape[1],
            dict_size=width,
            layer=0,
            lm_name="none",
            device="cpu",
            **settings,
        )
        data, number = cycle(batches), iter(range(STEPS))

        def step() -> None:
            torch.set_float32_matmul_precision(precision)
            trainer.update(next(number), next(data))

        return step

    return {SHIPPED: made("highest"), MEDIUM: made("medium")}


def sparsify(name: str, width: int, k: int, batches: Batches) -> dict[str, Step]:
    """Steps of TopK by setting; see this module."""
    if name != "topk":
        return {}
    from sparsify import SparseCoder, SparseCoderConfig

    def made(precision: str) -> Step:
        sae = SparseCoder(batches[0].shape[1], SparseCoderConfig(num_latents=width, k=k))
        adam = torch.optim.Adam(sae.parameters(), lr=2e-4 / (width / 2**14) ** 0.5)
        data, silent = cycle(batches), torch.zeros(width, dtype=torch.int64)

        def step() -> None:
            torch.set_float32_matmul_precision(precision)
            sae.set_decoder_norm_to_unit_norm()
            x = next(data)
            out = sae(x=x, y=x, dead_mask=silent > 10_000_000)
            out.fvu.backward()
            silent.add_(len(x))
            silent[out.latent_indices.flatten()] = 0
            sae.remove_gradient_parallel_to_decoder_directions()
            adam.step()
            adam.zero_grad()

        return step

    return {SHIPPED: made("highest"), MEDIUM: made("medium")}


LIBRARIES = {
    "SAELens": saelens,
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
}


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    batches, steps_of = load_batches(args.batches), LIBRARIES[args.library]
    serve(
        lambda: {
            f"{name}: {args.library}, {setting}": step
            for name in args.names
            for setting, step in steps_of(name, args.width, args.k, batches).items()
        }
    )


if __name__ == "__main__":
    main()
