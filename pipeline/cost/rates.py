"""How fast devices are and how large language models: what ``workflow/rates.yaml`` says."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.sections import Count, Natural, Positive, Section
from pipeline.config.yaml_files import load_yaml
from sagsae.autoencoders.registry import GATED, VARIANTS

RATES = Path(__file__).resolve().parents[2] / "workflow" / "rates.yaml"
STEP_PRODUCTS = 7
"""Encode, decode, auxiliary decode; two backward through the decoder; one for the gradients of each
of encoder and decoder. A product of [B, d] and [d, H] is 2 B d H operations."""
UNGATED_PRODUCTS = 5
"""The same without an auxiliary decode. On a CPU, k-sparse variants make one dense product."""
COMPRESSED = 0.8
"""Size of a store of the profile ``disk``, against a plain one."""


WEIGHT_BYTES = 40.0
"""Of a latent per activation, while it is trained: both rows with gradients, moments and copies."""
GATE_BYTES, UNGATED_BYTES = 12.0, 28.0
"""Of a latent per token of the batch. Autograd keeps codes that a gate's step makes again; the most
is taken by BatchTopK, whose dead latents learn."""


def activation_bytes(variant: str) -> float:
    """Bytes of a latent per token of the batch; of an unknown variant those of a gate."""
    return GATE_BYTES if _gated(variant) else UNGATED_BYTES


def _gated(variant: str) -> bool:
    return variant not in VARIANTS or VARIANTS[variant].family == GATED


def step_products(variant: str) -> int:
    """Dense products of a variant's training step; of an unknown one those of a gate."""
    return STEP_PRODUCTS if _gated(variant) else UNGATED_PRODUCTS


class Device(Section):
    """How fast one device is."""

    unit: str
    """What its hours are called."""
    training_tflops: Positive
    """Of the products of a training step."""
    forward_tflops: Positive
    """Of a language model's forward pass."""
    job_seconds: Natural
    """Start of a job: imports, loading the language model."""
    host_mb: Count
    """Resident memory of a job on its host, beside weights, buffers and batches."""
    basis: str
    """Where these numbers come from."""

    @property
    def is_core(self) -> bool:
        """Whether it is a core, of which a job can take several."""
        return self.unit == "core-hours"


class Architecture(Section):
    """Size of a language model."""

    blocks: Count
    block_parameters: Count
    """Matrix parameters of one block."""
    head_parameters: Count
    """d_model times the vocabulary."""


class Cluster(Section):
    """What jobs on a cluster share, and how fast the process is that submits them."""

    disk_gb_per_second: Positive
    """Of the file system, all jobs together."""
    job_gb_per_second: Positive
    """What one job alone reads or writes."""
    tokens_per_second: Positive
    """Text that one core packs."""
    plan_seconds: Positive
    """Planning, per job of the plan."""
    submit_seconds: Positive
    """Submitting one job; jobs are submitted one after the other."""
    poll_seconds: Positive
    """Until the end of a job is noticed."""
    basis: str
    """Where these numbers come from."""


class Rates(Section):
    """workflow/rates.yaml."""

    devices: dict[str, Device]
    cluster: Cluster
    models: dict[str, Architecture]

    @classmethod
    def read(cls, path: Path = RATES) -> Rates:
        """Read and check the file."""
        return cls.model_validate(load_yaml(path))

    def device(self, name: str) -> Device:
        """A device by name.

        Raises:
            ValueError: there is none; the message lists those there are.
        """
        if name not in self.devices:
            raise ValueError(f"unknown device {name!r}; known are {', '.join(self.devices)}")
        return self.devices[name]
