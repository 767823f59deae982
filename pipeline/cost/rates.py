"""How fast devices are and how large language models: what ``workflow/rates.yaml`` says."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.sections import Count, Natural, Positive, Section

RATES = Path(__file__).resolve().parents[2] / "workflow" / "rates.yaml"
STEP_PRODUCTS = 7
"""Encode, decode, auxiliary decode; two backward through the decoder; one for the gradients of each
of encoder and decoder. A product of [B, d] and [d, H] is 2 B d H operations."""
COMPRESSED = 0.8
"""Size of a store of the profile ``disk``, against a plain one."""


class Device(Section):
    """How fast one device is."""

    unit: str
    """What its hours are called."""
    training_tflops: Positive
    """Of the seven products of a training step."""
    forward_tflops: Positive
    """Of a language model's forward pass."""
    job_seconds: Natural
    """Start of a job: imports, loading the language model."""
    basis: str
    """Where these numbers come from."""


class Architecture(Section):
    """Size of a language model."""

    blocks: Count
    block_parameters: Count
    """Matrix parameters of one block."""
    head_parameters: Count
    """d_model times the vocabulary."""


class Rates(Section):
    """workflow/rates.yaml."""

    devices: dict[str, Device]
    models: dict[str, Architecture]
