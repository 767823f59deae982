"""What a family of dictionaries says of itself, from which `sagsae.autoencoders.dictionary` derives
its code, penalty and loss, and the step on a CPU its compiled loops.

With ``pre = (x - c b_dec) W_enc + b_enc`` [B, H], the code ``z`` is a function of ``pre`` and of
vectors [H], and ``x_hat = z W_dec + b_dec``. A family is a class in a file of its own: attributes,
`sides`, and how its parameters start.

A transcoder reads ``x - centre`` in the place of ``x - c b_dec``, with the mean of x, which is not
trained: an encoder that subtracts the bias of other activations learns badly (sparsify, #49). It
predicts ``y_hat = z W_dec + b_dec``, and ``(x - centre) W_skip`` beside it where it has a skip.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from sagsae.autoencoders.base import Autoencoder, Target
from sagsae.autoencoders.linear_map import LinearMap
from sagsae.training.recipe import DEFAULTS, Recipe

Vectors = Mapping[str, Tensor]
# What opens an entry in training: its side's threshold, or its rank in its row or batch.
BY_THRESHOLD, BY_ROW, BY_BATCH = "threshold", "row", "batch"
# What lambda weighs: p, the size of the code, or the number of its entries.
GATE, SIZE, COUNT = "gate", "size", "count"


class Sides(NamedTuple):
    """Both sides of a gate, vectors [H].

    ``pre`` opens the positive side above theta+, else the negative one below -theta-. With s = pre
    or -pre and the vectors of that side, p = s - theta and |z| = max(0, s exp(r) + c). No element
    opens both sides; a side that never opens has an infinite theta.
    """

    theta_pos: Tensor
    theta_neg: Tensor
    r_pos: Tensor
    r_neg: Tensor
    c_pos: Tensor
    c_neg: Tensor

    @classmethod
    def shared(cls, theta: Tensor, r: Tensor, c: Tensor, two_sided: bool) -> Sides:
        """Sides that share their vectors, or one side alone."""
        below = theta if two_sided else torch.full_like(theta, torch.inf)
        return cls(theta, below, r, r, c, c)


# Added to the seed of the encoder's rows for the rows of a transcoder's decoder.
OTHER_DRAW = 2**31


def first_rows(width: int, d: int, seed: int) -> Tensor:
    """[H, d] float32, on the CPU: the unit rows at which encoder and decoder begin."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(width, d, generator=generator, dtype=torch.float32)
    rows /= rows.norm(dim=1, keepdim=True)
    return rows


class Declaration(Autoencoder):
    """Parameters ``W_enc`` [d, H], ``W_dec`` [H, d_out], ``b_dec`` [d_out], vectors [H].

    A transcoder has the buffer ``centre`` [d], and perhaps ``W_skip`` [d, d_out].

    Args:
        d: Width of the activations.
        width: Number of latents H.
        scale: See `Autoencoder`.
        target: See `Autoencoder`.
    """

    vectors: ClassVar[tuple[str, ...]]
    """Names of the per-latent parameters, in order. ``b_enc`` is the encoder's bias; a family that
    has one also has the buffer ``centred``: whether the encoder reads x - b_dec, in place of x."""
    log_gains: ClassVar[tuple[str, ...]] = ()
    """Vectors that are logarithms of gains: without the units of the activations."""
    thresholds: ClassVar[tuple[str, ...]] = ()
    """Vectors that are thresholds: never below half a bandwidth, nor below zero."""
    two_sided: ClassVar[bool] = False
    """Whether one latent serves both signs."""
    may_free_rows: ClassVar[bool] = False
    """Whether a recipe may free the norms of the decoder's rows; else they are 1."""
    opened: ClassVar[str] = BY_THRESHOLD
    """What opens an entry in training. ``BY_ROW`` and ``BY_BATCH`` keep the largest ``pre``, or
    |pre| of two sides: k of a row, or k B of a batch of B. They need a buffer ``k``, and
    ``BY_BATCH`` a buffer ``threshold``, by which entries open after training."""
    penalised: ClassVar[str] = ""
    """What lambda weighs; empty for nothing."""
    auxiliary: ClassVar[bool] = False
    """Whether p, with the sign of ``pre``, must reconstruct x as well, through a decoder that this
    does not train."""
    nested: ClassVar[bool] = False
    """Whether the first latents must reconstruct alone, up to each of ``levels``."""
    trains_auxiliary: bool = False
    """Whether the auxiliary term trains ``W_dec`` and ``b_dec`` after all."""
    unit_rows: bool = True
    """Whether the rows of ``W_dec`` keep norm 1. Else the penalty weighs each latent by the norm of
    its row."""
    levels: tuple[int, ...]
    """Ends of nested groups of latents, ascending; the last is H."""
    level_weight: float = 1.0
    """Weight of the error of each level."""
    bandwidth: float = 0.0
    """Width of the kernel that estimates the gradient of a threshold; 0 for none."""
    auxk_coefficient: float = 0.0
    """Weight of the AuxK term, see `sagsae.autoencoders.auxk`; 0 for none."""
    auxk_latents: int = 0
    """Dead latents per token in that term."""
    variance: float = 1.0
    """Mean squared distance of the activations from their mean, which that weight is relative
    to."""

    W_enc: Tensor
    b_dec: Tensor
    b_enc: Tensor
    centred: Tensor
    k: Tensor
    threshold: Tensor
    centre: Tensor
    W_skip: Tensor

    def __init__(
        self, d: int, width: int, scale: float = 1.0, target: Target | None = None
    ) -> None:
        super().__init__(d, width, scale, target)
        self.levels = (width,)
        self.W_enc = nn.Parameter(torch.zeros(width, d).T)  # a latent's weights lie together
        self.W_dec = nn.Parameter(torch.zeros(width, self.d_out))
        self.b_dec = nn.Parameter(torch.zeros(self.d_out))
        if self.target is not None:
            self.register_buffer("centre", torch.zeros(d))
        if self.skips:
            self.W_skip = nn.Parameter(torch.zeros(d, self.d_out))
        for name in self.vectors:
            self.register_parameter(name, nn.Parameter(torch.zeros(width)))
        if "b_enc" in self.vectors:
            self.register_buffer("centred", torch.ones((), dtype=torch.int64))

    @property
    def skips(self) -> bool:
        """Whether a matrix of the input is added to the prediction."""
        return self.target is not None and self.target.skip

    @abstractmethod
    def sides(self, v: Vectors) -> Sides:
        """What opens latents, and how large their codes are then; differentiable."""

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """Random decoder rows, unit unless the recipe frees their norm and the family may; tied
        encoder; ``b_dec`` at ``mean`` or, by the recipe, at zero; ``b_enc`` at zero. Decoder rows
        of a transcoder are a draw of their own."""
        self.unit_rows = recipe.decoder_norm == "unit" or not self.may_free_rows
        self.trains_decoder = recipe.decoder == "trained"
        self.configure(recipe)
        rows = first_rows(self.width, self.d, seed)
        rows *= self._initial_norm(recipe)
        params = self.params
        params["W_enc"].copy_(rows.T)
        params["b_dec"].zero_()
        if self.target is not None:
            self.centre.copy_(mean)
            rows = first_rows(self.width, self.d_out, seed + OTHER_DRAW)
            rows *= self._initial_norm(recipe)
        elif recipe.b_dec_init == "mean":
            params["b_dec"].copy_(mean)
        params["W_dec"].copy_(rows)
        if "b_enc" in self.vectors:
            params["b_enc"].zero_()
            self.centred.fill_(recipe.encoder_input == "centred")

    def start_from(self, linear: LinearMap, recipe: Recipe) -> None:
        """A skip at the linear map; ``b_dec`` at the mean of y or, by the recipe, at zero."""
        params = self.params
        if recipe.b_dec_init == "mean":
            params["b_dec"].copy_(linear.mean_out)
        if self.skips:
            params["W_skip"].copy_(linear.weight)

    def _initial_norm(self, recipe: Recipe) -> float:
        return 1.0 if self.unit_rows else recipe.decoder_init_norm

    def project(self) -> None:
        """Return the vectors to their feasible set after an optimiser step.

        Below half a bandwidth a threshold's kernel would reach below zero.
        """
        for name in self.thresholds:
            self.params[name].clamp_min_(self.bandwidth / 2)

    @property
    def unfinished(self) -> str:
        return "" if self.unit_rows else "finish()"

    def finish(self) -> None:
        """Move the norms of the decoder's rows, where they are free, into the encoder.

        No reconstruction changes.
        """
        if self.unit_rows:
            return
        params, tiny = self.params, torch.finfo(self.W_dec.dtype).tiny
        norms = params["W_dec"].norm(dim=1).clamp_min_(tiny)
        params["W_dec"] /= norms[:, None]
        params["W_enc"] *= norms
        for name in self.vectors:
            if name not in self.log_gains:
                params[name] *= norms
        self.unit_rows = True

    def parameters_per_latent(self) -> int:
        """Trainable scalars of one latent: its encoder row, its decoder row and its vectors."""
        return self.d + self.d_out + len(self.vectors)
