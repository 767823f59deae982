"""Random language models of the local study's shapes; speed needs no trained weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sagsae.activations.cpu_products import has_bfloat16, multiply_in_float32

SMOLLM2_135M = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
GEMMA3_270M = {
    "model_type": "gemma3_text",
    "hidden_size": 640,
    "intermediate_size": 2048,
    "num_hidden_layers": 18,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "vocab_size": 262144,
    "tie_word_embeddings": True,
}
SHAPES = {"smollm2-135m": (SMOLLM2_135M, 15), "gemma3-270m": (GEMMA3_270M, 9)}
"""Configuration and tapped block by name."""


def random_model(name: str) -> Any:
    """A bfloat16 model of one of `SHAPES`, ready for inference."""
    settings = dict(SHAPES[name][0])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    if not has_bfloat16():
        multiply_in_float32(model)
    return model.eval().requires_grad_(False)
