"""What each job of a study computes and moves, by arithmetic: operations, tokens, bytes.

The estimate of costs, the resources that jobs ask a scheduler for, and the simulation of a study
all start from these numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config.study_config import Model
from pipeline.cost.rates import (
    COMPRESSED,
    WEIGHT_BYTES,
    Architecture,
    Device,
    Rates,
    activation_bytes,
    step_products,
)
from pipeline.study.cell import Cell
from pipeline.study.specs import DialSpec, ProbeSpec
from pipeline.study.study import Study

EVALUATION_PRODUCTS = 3
"""Encode, decode, and the residual's coefficients for the calibration slopes."""

LABELS = 31
"""Labels that a text with one source has: letters, digits, four lists of words."""
PASSES_PER_FIT = 200
"""Over the rows of a label, until a probe on whole activations has converged."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a job, or a part of one, computes and moves."""

    tokens: float = 0.0
    """Tokens that pass through a language model or an autoencoder."""
    operations: float = 0.0
    training: bool = False
    """At the rate of training, not of forward passes."""
    moved: float = 0.0
    """Bytes that it reads from stores, or writes into them, while it computes."""

    def seconds(self, device: Device) -> float:
        """Of a device, if it waits for no disk; without the start of the job."""
        rate = device.training_tflops if self.training else device.forward_tflops
        return self.operations / (rate * 1e12)


class Workload:
    """The work of every job of a study.

    Args:
        study: The study; cells off its grid are known as well.
        rates: Sizes of language models. One that is not there is guessed from d_model and the
            layer.
    """

    def __init__(self, study: Study, rates: Rates):
        self.study = study
        used = {cell.model for cell in study.cells}
        self.models = {name: model for name, model in study.models.items() if name in used}
        """Those that some cell needs."""
        self.sizes = {name: architecture(model, rates) for name, model in study.models.items()}
        self._length = study.config.text.context_length
        self._kept = (self._length - 1) / self._length  # the first position is dropped
        self._shrink = COMPRESSED if study.config.dump.profile == "disk" else 1.0

    def row_bytes(self, model: str) -> float:
        """Of one row of a store, at one hookpoint."""
        return 2.0 * self.study.models[model].d_model * self._shrink

    def store_bytes(self, model: str, split: str) -> float:
        """Of a store, all hookpoints together."""
        return len(self.study.config.hookpoints) * self._rows(split) * self.row_bytes(model)

    def tokens(self, model: str, split: str) -> Work:
        """Of packing a split; no operations are counted."""
        return Work(tokens=self._rows(split) / self._kept)

    def dump(self, model: str, split: str) -> Work:
        """Of filling a store, without its sealing."""
        tokens = self._rows(split) / self._kept
        each = self._forward(model, self.study.models[model].layer + 1)
        moved = self.store_bytes(model, split)
        return Work(tokens=tokens, operations=each * tokens, moved=moved)

    def baselines(self, model: str) -> Work:
        """Of a model's own losses, and of those with zero and mean at each hookpoint."""
        passes = 1 + 2 * len(self.study.config.hookpoints)
        tokens = passes * self._spliced
        return Work(tokens=tokens, operations=self._whole(model) * tokens)

    def training(self, cells: Sequence[Cell]) -> Work:
        """Of cells on one stream, which is read once for all of them."""
        trained = [0 if c in self.study.foreign else self.study.training(c).tokens for c in cells]
        operations = sum(
            step_products(cell.variant) * self._product(cell) * tokens
            for cell, tokens in zip(cells, trained, strict=True)
        )
        moved = max(trained) * self.row_bytes(cells[0].model)
        return Work(tokens=sum(trained), operations=operations, training=True, moved=moved)

    def evaluation(self, cell: Cell) -> Work:
        """Of a cell on the held-out rows, and of its spliced passes."""
        rows = self.study.config.dump.heldout_rows
        return Work(
            tokens=rows + self._spliced,
            operations=EVALUATION_PRODUCTS * self._product(cell) * rows
            + self._whole(cell.model) * self._spliced,
            moved=rows * self.row_bytes(cell.model),
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
        return Work(tokens=tokens, operations=tokens * self._forward(one.model, blocks, read))

    def probe(self, one: ProbeSpec) -> Work:
        """Of a job that probes codes: every cell encodes the rows that labels use, at most all."""
        plan, held = one.probe, self.study.config.dump.heldout_rows
        rows = min(held, LABELS * (plan.train_rows + plan.test_rows))
        operations = sum(self._product(cell) for cell in one.cells) * rows
        fits = LABELS * (plan.train_rows + plan.test_rows) * PASSES_PER_FIT
        operations += 2.0 * self.study.models[one.model].d_model * fits
        moved = held * self.row_bytes(one.model)
        return Work(tokens=len(one.cells) * rows, operations=operations, moved=moved)

    def browser(self, cell: Cell) -> Work:
        """Of a cell that the latent browser shows: its codes and its rival's, on held-out rows."""
        rows = self.study.config.dump.heldout_rows
        operations = 2 * EVALUATION_PRODUCTS * self._product(cell) * rows
        moved = 2 * rows * self.row_bytes(cell.model)
        return Work(tokens=2 * rows, operations=operations, moved=moved)

    def autoencoder_bytes(self, cell: Cell) -> float:
        """Of an autoencoder while it is trained in bfloat16, all on one device."""
        batch = self.study.training(cell).batch_size
        d, each = self.study.models[cell.model].d_model, activation_bytes(cell.variant)
        return (WEIGHT_BYTES * d + each * batch) * cell.width

    def model_bytes(self, model: str) -> float:
        """Of a language model's weights."""
        size, each = self.sizes[model], 2 if self.study.models[model].dtype == "bfloat16" else 4
        return float(each * (size.blocks * size.block_parameters + size.head_parameters))

    def logit_bytes(self, model: str, contexts: int) -> float:
        """Of the logits of some contexts, in the model's arithmetic and in float32."""
        vocabulary = self.sizes[model].head_parameters / self.study.models[model].d_model
        return contexts * self._length * vocabulary * 6.0

    @property
    def _spliced(self) -> int:
        """Tokens of the contexts in which activations are replaced."""
        return self.study.config.evaluation.lr_contexts * self._length

    def _rows(self, split: str) -> int:
        return int(getattr(self.study.config.dump, f"{split}_rows"))

    def _product(self, cell: Cell) -> float:
        """Operations of one matrix product, per token."""
        return 2.0 * self.study.models[cell.model].d_model * cell.width

    def _whole(self, model: str) -> float:
        """Operations of a whole pass, per token."""
        return self._forward(model, self.sizes[model].blocks, head=1)

    def _forward(self, name: str, blocks: int, head: float = 0.0) -> float:
        """Operations a token, attention over half a context on average included.

        ``head``: the share of the tokens that pass through it.
        """
        model, size = self.study.models[name], self.sizes[name]
        block = 2 * size.block_parameters + 2 * self._length * model.d_model
        return blocks * block + head * 2 * size.head_parameters


def architecture(model: Model, rates: Rates) -> Architecture:
    """Size of a model of the study; a guess from d_model and the layer where it is not known."""
    known = rates.models.get(model.name)
    return known or Architecture(
        blocks=2 * model.layer or 1,
        block_parameters=12 * model.d_model**2,
        head_parameters=50_000 * model.d_model,
    )
