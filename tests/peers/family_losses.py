"""Worker: losses of one batch and gradients, by other libraries' own training code, in float64.

    python family_losses.py IN.safetensors OUT.safetensors

``IN`` has the batch ``x`` [B, d], the weights ``W_enc`` [d, H], ``W_dec`` [H, d], ``b_enc``,
``b_dec``, ``threshold`` [H], and ``dead`` [H] int64. ``OUT`` has ``LIBRARY.NAME.loss`` and the
gradients ``LIBRARY.NAME.PARAMETER``, in those shapes. ``NAME-dead`` has dead latents.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from dictionary_learning.dictionary import AutoEncoder
from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
from dictionary_learning.trainers.jumprelu import JumpReluTrainer
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
from dictionary_learning.trainers.standard import StandardTrainerAprilUpdate
from dictionary_learning.trainers.top_k import TopKTrainer
from sae_lens.saes.abstopk_sae import AbsTopKTrainingSAE, AbsTopKTrainingSAEConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainStepInput
from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
from safetensors.torch import load_file, save_file
from torch import Tensor

K, LAM, BAND, LEVELS = 3, 0.3, 0.2, (1, 3, 8, 18, 40)
TOP = {"k": K, "rescale_acts_by_decoder_norm": False}
SAELENS: dict[str, tuple[type, type, dict[str, Any], dict[str, float]]] = {
    "relu": (StandardTrainingSAE, StandardTrainingSAEConfig, {"l1_coefficient": LAM}, {"l1": LAM}),
    "topk": (TopKTrainingSAE, TopKTrainingSAEConfig, TOP, {}),
    "abstopk": (AbsTopKTrainingSAE, AbsTopKTrainingSAEConfig, TOP, {}),
    "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, TOP, {}),
    "matryoshka_batchtopk": (
        MatryoshkaBatchTopKTrainingSAE,
        MatryoshkaBatchTopKTrainingSAEConfig,
        TOP | {"matryoshka_widths": list(LEVELS)},
        {},
    ),
    "jumprelu": (
        JumpReLUTrainingSAE,
        JumpReLUTrainingSAEConfig,
        {"jumprelu_bandwidth": BAND, "l0_coefficient": LAM},
        {"l0": LAM},
    ),
}


def saelens(name: str, given: dict[str, Tensor], dead: Tensor | None) -> dict[str, Tensor]:
    kind, config, settings, coefficients = SAELENS[name]
    d, width = given["W_enc"].shape
    sae = kind(config(d_in=d, d_sae=width, dtype="float64", **settings))
    for key in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"):
        if hasattr(sae, key):
            getattr(sae, key).data = given[key].clone()
    out = sae.training_forward_pass(TrainStepInput(given["x"], coefficients, dead, 0, False))
    out.loss.backward()
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
    grads = {key: getattr(sae, key).grad for key in names if hasattr(sae, key)}
    return {"loss": out.loss.detach(), **grads}


TRAINERS: dict[str, tuple[type, dict[str, Any]]] = {
    "relu": (StandardTrainerAprilUpdate, {"l1_penalty": LAM, "dict_class": AutoEncoder}),
    "topk": (TopKTrainer, {"k": K}),
    "batchtopk": (BatchTopKTrainer, {"k": K}),
    "matryoshka_batchtopk": (
        MatryoshkaBatchTopKTrainer,
        {"k": K, "group_fractions": [0.025, 0.05, 0.125, 0.25, 0.55]},
    ),
    "jumprelu": (JumpReluTrainer, {"bandwidth": BAND, "sparsity_penalty": 0.0}),
    "jumprelu-l0": (JumpReluTrainer, {"bandwidth": BAND, "sparsity_penalty": 1.0}),
}


def dictionary_learning(name: str, given: dict[str, Tensor], dead: Tensor) -> dict[str, Tensor]:
    kind, settings = TRAINERS[name]
    d, width = given["W_enc"].shape
    warm = {"sparsity_warmup_steps": None} if name in ("relu", "jumprelu", "jumprelu-l0") else {}
    trainer = kind(
        steps=10_000,
        activation_dim=d,
        dict_size=width,
        layer=0,
        lm_name="none",
        device="cpu",
        **settings,
        **warm,
    )
    ae = trainer.ae.double()
    places = {
        "W_enc": ("W_enc", "encoder.weight"),
        "W_dec": ("W_dec", "decoder.weight"),
        "b_enc": ("b_enc", "encoder.bias"),
        "b_dec": ("b_dec", "bias"),
        "threshold": ("threshold",),
    }
    found, parameters = {}, dict(ae.named_parameters())
    for key, names in places.items():
        at = next((one for one in names if one in parameters), None)
        if at is not None:
            turned = at in ("encoder.weight", "decoder.weight")
            parameters[at].data = (given[key].T if turned else given[key]).clone().contiguous()
            found[key] = (parameters[at], turned)
    if hasattr(trainer, "num_tokens_since_fired"):
        trainer.num_tokens_since_fired = dead.long() * 20_000_000
    loss = trainer.loss(given["x"], step=0)
    loss.backward()
    grads = {key: at.grad.T if turned else at.grad for key, (at, turned) in found.items()}
    return {"loss": loss.detach(), **grads}


def main(inputs: str, out: str) -> None:
    given, tensors = load_file(inputs), {}
    dead = given.pop("dead").bool()
    none = torch.zeros_like(dead)
    runs = {f"saelens.{name}": saelens(name, given, none) for name in SAELENS}
    runs |= {f"saelens.{n}-dead": saelens(n, given, dead) for n in ("topk", "abstopk")}
    runs |= {f"dl.{name}": dictionary_learning(name, given, none) for name in TRAINERS}
    tops = ("topk", "batchtopk", "matryoshka_batchtopk")
    runs |= {f"dl.{name}-dead": dictionary_learning(name, given, dead) for name in tops}
    for run, found in runs.items():
        tensors |= {f"{run}.{key}": value.contiguous() for key, value in found.items()}
    save_file(tensors, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
