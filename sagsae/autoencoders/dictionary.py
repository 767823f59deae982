"""What gates and the families without a gate share: one encoder product, vectors per latent.

With ``pre = (x - c b_dec) W_enc + b_enc`` [B, H], the code ``z`` is a function of ``pre`` and of
the vectors, and ``x_hat = z W_dec + b_dec``. A family is a class in a file of its own: `activate`,
`select` where training selects otherwise, `penalty`, and `sides`, from which the step on a CPU
computes the same. `loss` is what is trained, in plain PyTorch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.sparse_product import sparse_product
from sagsae.schedules import DEFAULTS, Recipe

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


def first_rows(width: int, d: int, seed: int) -> Tensor:
    """[H, d] float32, on the CPU: the unit rows at which encoder and decoder begin."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(width, d, generator=generator, dtype=torch.float32)
    rows /= rows.norm(dim=1, keepdim=True)
    return rows


class Dictionary(Autoencoder):
    """Parameters ``W_enc`` [d, H], ``W_dec`` [H, d], ``b_dec`` [d], vectors [H].

    Args:
        d: Width of the activations.
        width: Number of latents H.
        scale: See `Autoencoder`.

    Attributes:
        unit_rows: Whether the rows of ``W_dec`` keep norm 1. Else the penalty weighs each latent by
            the norm of its row.
        levels: Ends of nested groups of latents, ascending; the last is H.
        level_weight: Of the error of each level.
    """

    levels: tuple[int, ...]
    unit_rows, level_weight = True, 1.0

    vectors: ClassVar[tuple[str, ...]]
    """Names of the per-latent parameters, in order."""
    log_gains: ClassVar[tuple[str, ...]] = ()
    """Those among them that are logarithms of gains: without the units of the activations."""
    two_sided: ClassVar[bool] = False
    """Whether one latent serves both signs."""
    may_free_rows: ClassVar[bool] = False
    """Whether a recipe may free the norms of the decoder's rows; else they are 1."""
    opened: ClassVar[str] = BY_THRESHOLD
    """What opens an entry in training."""
    penalised: ClassVar[str] = ""
    """What lambda weighs, as `penalty` gives it; empty for nothing."""
    auxiliary: ClassVar[bool] = False
    """Whether a second code reconstructs as well, see `sagsae.autoencoders.gate`."""
    bandwidth: float = 0.0
    """Of the kernel that estimates the gradient of a threshold; 0 for none."""
    auxk_coefficient: float = 0.0
    """Weight of the AuxK term, see `sagsae.autoencoders.auxk`; 0 for none."""
    auxk_latents: int = 0
    """Dead latents per token in that term."""

    W_enc: Tensor
    b_dec: Tensor

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
        self.levels = (width,)
        self.W_enc = nn.Parameter(torch.zeros(width, d).T)  # a latent's weights lie together
        self.W_dec = nn.Parameter(torch.zeros(width, d))
        self.b_dec = nn.Parameter(torch.zeros(d))
        for name in self.vectors:
            self.register_parameter(name, nn.Parameter(torch.zeros(width)))

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """Random decoder rows, unit unless the recipe frees their norm and the family may; tied
        encoder; ``b_dec`` at ``mean`` or, by the recipe, at zero."""
        self.unit_rows = recipe.decoder_norm == "unit" or not self.may_free_rows
        self.trains_decoder = recipe.decoder == "trained"
        self.configure(recipe)
        rows = first_rows(self.width, self.d, seed)
        rows *= self._initial_norm(recipe)
        params = self.params
        params["W_dec"].copy_(rows)
        params["W_enc"].copy_(rows.T)
        params["b_dec"].zero_()
        if recipe.b_dec_init == "mean":
            params["b_dec"].copy_(mean)

    def _initial_norm(self, recipe: Recipe) -> float:
        return 1.0 if self.unit_rows else recipe.decoder_init_norm

    @property
    def reads_centred(self) -> bool:
        """Whether the encoder reads x - b_dec, in the place of x."""
        return True

    @property
    def subtracted(self) -> Tensor:
        """[d], what the encoder subtracts from the activations first."""
        return self.b_dec

    @abstractmethod
    def activate(self, pre: Tensor, v: Vectors) -> Tensor:
        """The code [B, h] of pre-activations [B, h] of h latents, whose vectors are [h]."""

    def select(self, pre: Tensor, v: Vectors, knob: float) -> Tensor:
        """The code [B, H] of a batch in training, at lambda or k of this step."""
        return self.activate(pre, v)

    def penalty(self, pre: Tensor, v: Vectors, z: Tensor) -> Tensor | None:
        """What lambda weighs of each entry, [B, H]; None where nothing is penalised."""
        return None

    def errors(self, x: Tensor, z: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Terms of the reconstruction, and x - x_hat [B, d]."""
        error = x - self.reconstruct(z)
        return {"reconstruction": error.square().sum(1).mean()}, error

    def auxiliary_terms(
        self, x: Tensor, pre: Tensor, v: Vectors, error: Tensor
    ) -> dict[str, Tensor]:
        """Further terms, which keep latents alive."""
        return {}

    @abstractmethod
    def sides(self, v: Vectors) -> Sides:
        """What opens latents, and how large their codes are then; differentiable."""

    def training_terms(self, x: Tensor, lam: float) -> tuple[dict[str, Tensor], Tensor]:
        """Terms before their `weights`, and the code of the batch, as autograd takes them."""
        pre, v = self.tracked(x), self._vectors()
        z = self.select(pre, v, lam)
        terms, error = self.errors(x, z)
        if (costs := self.penalty(pre, v, z)) is not None:
            costs = costs if self.unit_rows else costs * self.W_dec.norm(dim=1)
            terms["penalty"] = costs.sum(1).mean()
        return {**terms, **self.auxiliary_terms(x, pre, v, error)}, z.detach()

    def weights(self, lam: float) -> dict[str, float]:
        """Coefficients of the terms of `training_terms`, by name; 1 for those that are absent."""
        return {"penalty": lam}

    def loss(self, x: Tensor, lam: float) -> dict[str, Tensor]:
        """The terms whose sum is minimised; ``lam`` is k for the k-sparse families."""
        terms, _ = self.training_terms(x, lam)
        weights = self.weights(lam)
        return {name: weights.get(name, 1.0) * term for name, term in terms.items()}

    def tracked(self, x: Tensor) -> Tensor:
        """Pre-activations [B, H] for autograd.

        The gradient of ``b_dec`` goes through a product of vectors, whose value is zero. Through
        ``x - b_dec`` it would take a matrix product as large as the encoder's.
        """
        subtracted = self.subtracted
        shift = (subtracted.detach() - subtracted) @ self.W_enc.detach()
        return (x - subtracted.detach()) @ self.W_enc + shift

    def pre_activations(self, x: Tensor, latents: Tensor | slice = slice(None)) -> Tensor:
        """Those of some latents, in the parameters' dtype."""
        W_enc = self.W_enc[:, latents]
        return (x.to(W_enc.dtype) - self.subtracted) @ W_enc

    def code(self, x: Tensor) -> Tensor:
        """Code z [B, H] of normalised activations x [B, d], in the parameters' dtype."""
        z = self.activate(self.pre_activations(x), self._vectors())
        return z.to(self.W_dec.dtype)  # a threshold may be float32 where the rest is bfloat16

    def code_of_latents(self, x: Tensor, latents: Tensor) -> Tensor:
        """The columns ``latents`` [k] of ``code(x)``, [B, k], at the cost of k latents.

        Equal up to the rounding of products of another shape.
        """
        vectors = {name: value[latents] for name, value in self._vectors().items()}
        return self.activate(self.pre_activations(x, latents), vectors)

    def _vectors(self) -> dict[str, Tensor]:
        return {name: self.get_parameter(name) for name in self.vectors}

    def reconstruct(self, z: Tensor) -> Tensor:
        """Reconstruction [B, d] of normalised activations from a code [B, H]."""
        return sparse_product(z, self.W_dec) + self.b_dec

    def key(self, pre: Tensor) -> Tensor:
        """How strongly each latent is active, never negative."""
        return pre.abs() if self.two_sided else pre.relu()

    def parameters_per_latent(self) -> int:
        """Trainable scalars of one latent: its encoder row, its decoder row and its vectors."""
        return 2 * self.d + len(self.vectors)

    def constrain(self) -> None:
        """Unit decoder rows, unless they are free or frozen, and the vectors' feasible set."""
        if self.unit_rows and self.trains_decoder:
            self.normalise_decoder()
        self.project()

    def normalise_decoder(self) -> None:
        """Give every decoder row unit norm, in place."""
        rows = self.W_dec.detach()
        rows /= rows.norm(dim=1, keepdim=True).clamp_min_(torch.finfo(rows.dtype).tiny)

    def project(self) -> None:
        """Return the vectors to their feasible set after an optimiser step."""
        return

    @property
    def unfinished(self) -> str:
        return "" if self.unit_rows else "finish()"

    def finish(self) -> None:
        """Fold the norms of the decoder's rows, where they are free."""
        if not self.unit_rows:
            self.fold_norms()

    def fold_norms(self) -> None:
        """Move the norms of the decoder's rows into the encoder; no reconstruction changes."""
        params, tiny = self.params, torch.finfo(self.W_dec.dtype).tiny
        norms = params["W_dec"].norm(dim=1).clamp_min_(tiny)
        params["W_dec"] /= norms[:, None]
        params["W_enc"] *= norms
        for name in self.vectors:
            if name not in self.log_gains:
                params[name] *= norms
        self.unit_rows = True
