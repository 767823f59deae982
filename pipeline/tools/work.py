"""What each job of a study computes, reads and holds, by arithmetic.

Sizes of language models and rates of devices are in ``workflow/rates.yaml``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.data.passes import SPLICED
from pipeline.study.cell import Cell
from pipeline.study.dial import DialSpec
from pipeline.study.probe import ProbeSpec
from pipeline.study.sections import Count, Natural, Positive, Section
from pipeline.study.signs import SignsSpec
from pipeline.study.sources import Model
from pipeline.study.study import Study
from pipeline.study.study_config import load_yaml
from sagsae.autoencoders.registry import GATED, VARIANTS

RATES = Path(__file__).resolve().parents[2] / "workflow" / "rates.yaml"
# Of [B, d] and [d, H], 2 B d H operations each, in a training step. Encode, decode, two backward
# through the decoder, one for each gradient; a gate adds its auxiliary decode.
GATED_PRODUCTS, UNGATED_PRODUCTS = 7, 5
# Encode, decode, and the residual's coefficients for the calibration slopes.
EVALUATION_PRODUCTS = 3
# Of a latent while it is trained: per activation (rows, gradients, moments, copies), and per token
# of the batch. BatchTopK takes most, a gate less than half.
WEIGHT_BYTES, ACTIVATION_BYTES = 40.0, 28.0
# Size of a store of the profile ``disk``, against a plain one.
COMPRESSED = 0.8
# Labels that a text with one source has; passes over the rows of a label until a probe on whole
# activations has converged.
LABELS, PASSES_PER_FIT = 31, 200
# Seconds of the host for each pair of latents of two seeds, where these are assigned.
ASSIGNED_PAIR = 1.5e-7
# Chunks that the stream of a training shuffles together.
GROUP_CHUNKS = 16
# Bytes per second that one job reads or writes, assumed; tokens per second that one core packs,
# measured on the local study.
READ_RATE, PACKED_TOKENS = 2e9, 580_000.0


class Device(Section):
    """How fast one device is."""

    unit: str
    """What its hours are called; a job can take several devices whose hours are ``core-hours``."""
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

    def size(self, model: Model) -> Architecture:
        """Size of a language model; a guess from d_model and the layer where it is not known."""
        return self.models.get(model.like or model.name) or Architecture(
            blocks=2 * model.layer or 1,
            block_parameters=12 * model.d_model**2,
            head_parameters=50_000 * model.d_model,
        )


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one job computes, moves and holds."""

    # Tokens that pass through a language model or an autoencoder.
    tokens: float = 0.0
    # Operations at the rate of forward passes.
    forward: float = 0.0
    # Operations at the rate of training.
    training: float = 0.0
    # Bytes that it reads from stores, or writes into them, while it computes.
    moved: float = 0.0
    # Bytes of host memory, beside those of the process.
    held: float = 0.0
    # Seconds of the host, whatever the device.
    fixed: float = 0.0

    def seconds(self, device: Device) -> float:
        """Of one device, the start of the job included."""
        computed = self.forward / device.forward_tflops + self.training / device.training_tflops
        return device.job_seconds + self.fixed + max(computed / 1e12, self.moved / READ_RATE)


class Workload:
    """The work of the jobs of a study, by rule; cells off its grid are known as well."""

    def __init__(self, study: Study, rates: Rates):
        self.study = study
        self.sizes = {name: rates.size(model) for name, model in study.models.items()}
        self._length = study.config.text.context_length
        self._shrink = COMPRESSED if study.config.dump.profile == "disk" else 1.0
        self._spliced = study.config.evaluation.lr_contexts * self._length

    def row_bytes(self, model: str) -> float:
        """Of one row of a store, at one hookpoint."""
        return 2.0 * self.study.models[model].d_model * self._shrink

    def store_bytes(self, model: str, split: str) -> float:
        """Of a store, all hookpoints together."""
        return len(self.study.config.hookpoints) * self._rows(split) * self.row_bytes(model)

    def tokens(self, model: str, split: str) -> Work:
        """Of packing a split, on the host."""
        tokens = self._tokens(split)
        return Work(tokens=tokens, held=16.0 * tokens, fixed=tokens / PACKED_TOKENS)

    def dump(self, model: str, split: str) -> Work:
        """Of filling a store, which is written once and read once more to seal it."""
        tokens = self._tokens(split)
        each = self._forward(model, self.study.models[model].layer + 1)
        moved = self.store_bytes(model, split)
        blocks = moved * min(1.0, 7 * self.study.config.dump.rows_per_block / self._rows(split))
        held = self._model_bytes(model) + blocks  # seven threads beside a GPU
        sealing = moved / READ_RATE
        return Work(tokens=tokens, forward=each * tokens, moved=moved, held=held, fixed=sealing)

    def baselines(self, model: str) -> Work:
        """Of a model's own losses, and of those with zero and mean at each hookpoint."""
        tokens = (1 + 2 * len(self.study.config.hookpoints)) * self._spliced
        forward = self._whole(model) * tokens
        return Work(tokens=tokens, forward=forward, held=self._passes(model))

    def training(self, cell: Cell) -> Work:
        """Of a cell, which reads the stream of its hookpoint alone."""
        steps = self.study.training(cell)
        foreign = cell in self.study.foreign
        tokens = 0 if foreign else steps.tokens
        gated = foreign or VARIANTS[cell.variant].family == GATED
        products = GATED_PRODUCTS if gated else UNGATED_PRODUCTS
        shuffled = 3 * GROUP_CHUNKS * self.study.config.dump.rows_per_chunk
        row = self.row_bytes(cell.model)
        return Work(
            tokens=tokens,
            training=products * self._product(cell) * tokens,
            moved=tokens * row,
            held=self._autoencoder_bytes(cell) + shuffled * row,
        )

    def evaluation(self, cell: Cell) -> Work:
        """Of a cell on the held-out rows, and of its spliced passes."""
        rows = self._rows("heldout")
        return Work(
            tokens=rows + self._spliced,
            forward=EVALUATION_PRODUCTS * self._product(cell) * rows
            + self._whole(cell.model) * self._spliced,
            moved=rows * self.row_bytes(cell.model),
            held=self._passes(cell.model) + self._autoencoder_bytes(cell),
        )

    def dial(self, one: DialSpec) -> Work:
        """Of a job that steers.

        Each direction is tried in both senses: half of the contexts at the largest size alone, the
        others at every size, from the tapped block on. Predictions are read at some positions.
        """
        plan = one.dial
        half = plan.contexts // 2
        tries = 2 * (half + len(plan.alphas) * (plan.contexts - half))
        tokens = (plan.latents + plan.pairs + plan.random) * tries * self._length
        read = min(1.0, plan.positions / self._length)
        blocks = self.sizes[one.model].blocks - self.study.models[one.model].layer
        forward = tokens * self._forward(one.model, blocks, read)
        return Work(tokens=tokens, forward=forward, held=self._passes(one.model))

    def probe(self, one: ProbeSpec) -> Work:
        """Of a job that probes codes: every cell encodes the rows that labels use, at most all."""
        plan, held_out = one.probe, self._rows("heldout")
        labelled = LABELS * (plan.train_rows + plan.test_rows)
        rows = min(held_out, labelled)
        encoded = sum(map(self._product, one.cells)) * rows
        fitted = 2.0 * self.study.models[one.model].d_model * labelled * PASSES_PER_FIT
        codes = 12_000.0 * rows  # 500 entries of a row, 24 bytes each
        held = codes + 2 * rows * self.row_bytes(one.model)
        return Work(
            tokens=len(one.cells) * rows,
            forward=encoded + fitted,
            moved=held_out * self.row_bytes(one.model),
            held=held + max(map(self._autoencoder_bytes, one.cells)),
            fixed=5.0 * (1 + len(one.cells)),
        )

    def signs(self, one: SignsSpec) -> Work:
        """Of a job that looks into signs: as if every cell encoded all held-out rows, and its
        latents were assigned to those of one other seed."""
        rows, widest = self._rows("heldout"), max(one.cells, key=lambda cell: cell.width)
        pairs = sum(float(cell.width) ** 2 for cell in one.cells)
        stored, cosines = rows * self.row_bytes(one.model), 16.0 * widest.width**2
        return Work(
            tokens=len(one.cells) * rows,
            forward=sum(map(self._product, one.cells)) * rows,
            moved=stored,
            held=stored + cosines + self._autoencoder_bytes(widest),
            fixed=len(one.cells) + ASSIGNED_PAIR * pairs,
        )

    def _autoencoder_bytes(self, cell: Cell) -> float:
        """Of an autoencoder while it is trained in bfloat16."""
        batch = self.study.training(cell).batch_size
        d_model = self.study.models[cell.model].d_model
        return (WEIGHT_BYTES * d_model + ACTIVATION_BYTES * batch) * cell.width

    def _model_bytes(self, model: str) -> float:
        """Of a language model's weights."""
        size, each = self.sizes[model], 2 if self.study.models[model].dtype == "bfloat16" else 4
        return float(each * (size.blocks * size.block_parameters + size.head_parameters))

    def _passes(self, model: str) -> float:
        """Bytes of a language model and of the logits of a batch of contexts."""
        vocabulary = self.sizes[model].head_parameters / self.study.models[model].d_model
        return self._model_bytes(model) + SPLICED["cuda"] * self._length * vocabulary * 6.0

    def _rows(self, split: str) -> int:
        return int(getattr(self.study.config.dump, f"{split}_rows"))

    def _tokens(self, split: str) -> float:
        """Of the contexts that have the rows of a split; the first position is dropped."""
        return self._rows(split) * self._length / (self._length - 1)

    def _product(self, cell: Cell) -> float:
        """Operations of one matrix product, per token."""
        return 2.0 * self.study.models[cell.model].d_model * cell.width

    def _whole(self, model: str) -> float:
        """Operations of a whole pass, per token."""
        return self._forward(model, self.sizes[model].blocks, head=1)

    def _forward(self, name: str, blocks: int, head: float = 0.0) -> float:
        """Operations per token of some blocks, attention over half a context on average included.

        ``head``: the share of the tokens that pass through it.
        """
        model, size = self.study.models[name], self.sizes[name]
        block = 2 * size.block_parameters + 2 * self._length * model.d_model
        return blocks * block + head * 2 * size.head_parameters
