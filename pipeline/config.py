"""What a study may ask for: every key of a configuration file, its default and its meaning.

One pydantic model checks the whole file and reports every error at once with its path. It imports
neither torch nor transformers, so the Snakefile can read it in a fraction of a second.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from pipeline.sections import NAME, Count, Fraction, Number, Positive, Section
from pipeline.sources import ModelSource, TextSource

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / "workflow" / "configs" / "local.yaml"


class ConfigError(ValueError):
    """A configuration that cannot be run; the message lists every fault with its path."""


class Model(Section):
    """One language model of the study and where it is tapped."""

    name: Annotated[str, Field(pattern=NAME)]
    """Name used in paths and tables."""
    source: ModelSource
    """Where the model comes from."""
    d_model: Count
    """Width of the residual stream; checked against the loaded model."""
    layer: Annotated[int, Field(ge=0)]
    """Index of the block whose hookpoints are dumped."""
    hookpoints: dict[str, str] = Field(default_factory=dict)
    """Module path of each hookpoint, ``{layer}`` standing for the layer. Empty: the known paths of
    the architecture (GPT-NeoX, Llama, SmolLM3, Gemma 3 and relatives)."""
    start_token: Literal["bos", "eos", "none"] = "bos"
    """Special token that every context begins with; its position is never trained on."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Arithmetic of the language model's forward passes."""


class Text(Section):
    """The documents, how they are split and how they are packed into contexts."""

    source: TextSource
    """Where the documents come from."""
    context_length: Annotated[int, Field(ge=8)] = 128
    """Tokens a context, the start token included."""
    heldout_fraction: Annotated[Number, Field(gt=0, le=0.5)] = 0.1
    """Share of the documents kept apart for evaluation. No document is in both splits."""
    seed: int = 0
    """Seed of the permutation of the documents."""


class Dump(Section):
    """The activation store."""

    train_rows: Count
    """Tokens stored for training; rounded down to whole blocks."""
    heldout_rows: Count
    """Tokens stored for evaluation; rounded down to whole blocks."""
    rows_per_block: Count = 8192
    """Rows that are permuted and committed together."""
    rows_per_chunk: Count = 1024
    """Rows a Zarr chunk; divides rows_per_block. Aim at 8 MiB a chunk for large stores."""
    profile: Literal["plain", "disk"] = "plain"
    """plain: uncompressed; disk: zstd level 1, about a fifth smaller. Both carry crc32c."""
    max_norm_ratio: Positive = 10.0
    """Tokens whose norm exceeds this many medians at any hookpoint are left out."""
    calibration_contexts: Count = 64
    """Contexts of the training split from which the median norms are taken."""
    batch_contexts: Count = 16
    """Contexts a forward pass."""
    slack: Fraction = 0.02
    """Share of a block's tokens that the drop rule may take before the dump stops."""
    acts_root: str = ""
    """Folder of the stores. Empty: the study's own activations folder."""

    @model_validator(mode="after")
    def _whole_chunks(self) -> Dump:
        if self.rows_per_block % self.rows_per_chunk:
            raise ValueError(
                f"rows_per_block {self.rows_per_block} is not a multiple of rows_per_chunk "
                f"{self.rows_per_chunk}"
            )
        for split in ("train_rows", "heldout_rows"):
            if getattr(self, split) < self.rows_per_block:
                raise ValueError(f"{split} is less than one block of {self.rows_per_block} rows")
        return self


class Training(Section):
    """The recipe of every cell. Lengths are optimiser steps unless a name says tokens."""

    tokens: Count
    """Token-steps a cell: rows seen, counted with repetition over epochs."""
    batch_size: Count = 2048
    """Tokens a step."""
    learning_rate: Positive = 1e-3
    """Peak learning rate of Adam."""
    beta1: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Decay of the mean of the gradients."""
    beta2: Annotated[Number, Field(ge=0, lt=1)] = 0.999
    """Decay of the mean of the squared gradients."""
    lr_warmup_steps: Annotated[int, Field(ge=0)] = 50
    """Steps over which the learning rate rises linearly from zero."""
    lr_decay_fraction: Annotated[Number, Field(ge=0, le=1)] = 0.2
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    lambda_warmup_steps: Annotated[int, Field(ge=0)] = 100
    """Steps over which lambda rises linearly from zero."""
    theta_init: Annotated[Number, Field(ge=0)] = 1.2
    """Initial threshold of sign-aware gates, in units of the spread of the encoder's products at
    the start: sqrt((1 - |mean|^2) / d)."""
    reset_window_tokens: Annotated[int, Field(ge=0)] = 0
    """A latent silent for this many tokens gets its threshold reset; 0 switches resets off."""
    matmul_dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Matrix products; auto: bfloat16 where the hardware has it. Master weights are float32."""
    group_chunks: Count = 16
    """Chunks of different blocks that are shuffled together."""

    @model_validator(mode="after")
    def _at_least_one_step(self) -> Training:
        if self.steps < 1:
            raise ValueError(f"tokens {self.tokens} is less than one batch of {self.batch_size}")
        return self

    @property
    def steps(self) -> int:
        return self.tokens // self.batch_size


class Evaluation(Section):
    """What is measured on the held-out split."""

    lr_contexts: Count = 64
    """Held-out contexts over which Loss Recovered is measured."""
    batch_contexts: Count = 4
    """Contexts a spliced forward pass."""
    lr_noise_gap: Positive = 0.1
    """Loss Recovered is flagged as noise where CE_zero - CE_clean (nats) is below this."""


class Sized(Section):
    """A variant at one dictionary width."""

    variant: str
    """Name in the registry of variants: gated, sagsae_sym, sagsae_tied."""
    expansion: Positive | None = None
    """Dictionary width in multiples of d_model. Give this or width."""
    width: Count | None = None
    """Dictionary width H in latents. Give this or expansion."""

    @model_validator(mode="after")
    def _one_width(self) -> Self:
        if (self.expansion is None) == (self.width is None):
            raise ValueError("give exactly one of expansion and width")
        return self

    def width_for(self, d_model: int) -> int:
        """H for a model of this width."""
        if self.expansion is None:
            assert self.width is not None
            return self.width
        return max(1, math.floor(self.expansion * d_model + 0.5))


class GridEntry(Sized):
    """A block of the grid: one variant at one width over lambdas, seeds, models, hookpoints."""

    lambdas: Annotated[list[Positive], Field(min_length=1)]
    """Sparsity coefficients at unit mean square activations."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1)] = [0]
    """Seeds of the initial weights and of the order of the batches."""
    models: list[str] | None = None
    """Restrict to these models; all when absent."""
    hookpoints: list[str] | None = None
    """Restrict to these hookpoints; all when absent."""


class Contender(Sized):
    """One side of a comparison."""


class Comparison(Section):
    """Candidate against baseline over the overlap of their swept L0 ranges."""

    candidate: Contender
    """The variant that is claimed to be better."""
    baseline: Contender
    """The variant it is compared with."""
    matched_l0: list[Positive] = [64.0]
    """L0 values at which both are read off their frontiers, where the overlap contains them."""


class StudyConfig(Section):
    """A configuration file."""

    study: Annotated[str, Field(pattern=NAME)]
    """Name of the study; its outputs lie in results/<study>/."""
    note: str = ""
    """What readers of the report must know before they read a number."""
    results: str = "results"
    """Folder that holds the studies."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: GPUs where there are some, else the CPU."""
    jobs_per_gpu: Count = 1
    """Jobs that may share one GPU."""
    models: Annotated[list[Model], Field(min_length=1)]
    """The language models."""
    hookpoints: Annotated[list[str], Field(min_length=1)]
    """Hookpoints dumped from every model: mlp_out, attn, resid, or names that the models define."""
    text: Text
    """Documents, split and packing."""
    dump: Dump
    """Sizes and layout of the activation store."""
    grid: Annotated[list[GridEntry], Field(min_length=1)]
    """The cells to train, block by block."""
    training: Training
    """The recipe of every cell."""
    evaluation: Evaluation = Evaluation()
    """What is measured."""
    comparisons: list[Comparison] = Field(default_factory=list)
    """Pairs of variants that the tables compare."""


def load_yaml(path: Path) -> Any:
    """Parse one YAML file with the safe loader; faults name the file."""
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from None


def describe(error: ValidationError, where: str) -> str:
    """Every fault of a validation on its own line: path, what is wrong, what was given."""
    lines = [f"{where}: {error.error_count()} error(s)"]
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        message = item["msg"].removeprefix("Value error, ")
        given = item.get("input")
        shown = (
            "" if isinstance(given, dict | list) else f" (given: {json.dumps(given, default=str)})"
        )
        lines.append(f"  {path}: {message}{shown}")
    return "\n".join(lines)
