"""What follows from a family's declaration: code, selection, penalty, estimators and loss, in plain
PyTorch.

The step on a CPU (`sagsae.training.cpu_step`) computes the same from the same declaration. So a
class that overrides a method of `Dictionary` is trained by autograd, see `is_as_declared`.
"""

from __future__ import annotations

from inspect import isfunction
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sagsae.autoencoders.auxk import auxk_loss, strongest
from sagsae.autoencoders.declaration import (
    BY_BATCH,
    BY_ROW,
    COUNT,
    GATE,
    SIZE,
    Declaration,
    Vectors,
)

# Share of entries that are not zero from which a dense product is the faster one, measured at
# H = 2304 and 9216, d = 576, on a CPU. Both are within rounding of each other.
DENSE = 0.1
# What a CPU sums row by row.
SUMMED = (torch.float32, torch.float64)


def sparse_product(codes: Tensor, matrix: Tensor) -> Tensor:
    """``codes @ matrix``, at the cost of the entries that are not zero where a CPU gains by that.

    With gradients, on a GPU, and of codes with many entries it is the dense product.

    Args:
        codes: [..., H].
        matrix: [H, d], of the same dtype and device.

    Returns:
        [..., d] of that dtype.
    """
    if torch.is_grad_enabled() or codes.device.type != "cpu" or codes.dtype not in SUMMED:
        return codes @ matrix
    flat = codes.reshape(-1, codes.shape[-1])
    rows, latents = flat.nonzero(as_tuple=True)
    if len(rows) > DENSE * codes.numel():
        return codes @ matrix
    per_row = torch.bincount(rows, minlength=len(flat))
    starts, weights = per_row.cumsum(0) - per_row, flat[rows, latents]
    found = functional.embedding_bag(
        latents, matrix, starts, mode="sum", per_sample_weights=weights
    )
    return found.view(*codes.shape[:-1], matrix.shape[1])


class Facing(NamedTuple):
    """The size [B, h] of each pre-activation on the side that it faces, and theta, gain and c of
    that side, [B, h] or [h]."""

    size: Tensor
    theta: Tensor
    gain: Tensor
    c: Tensor


class Dictionary(Declaration):
    """See `Declaration`. A family that overrides any of these methods takes the plain step."""

    @property
    def reads_centred(self) -> bool:
        """Whether the encoder reads x - b_dec, in the place of x; a transcoder never does."""
        return self.target is None and ("b_enc" not in self.vectors or bool(self.centred))

    @property
    def subtracted(self) -> Tensor:
        """[d], what the encoder subtracts from the activations first."""
        if self.target is not None:
            return self.centre
        return self.centred * self.b_dec if "b_enc" in self.vectors else self.b_dec

    def tracked(self, x: Tensor) -> Tensor:
        """Pre-activations [B, H] for autograd.

        The gradient of ``b_dec`` goes through a product of vectors, whose value is zero. Through
        ``x - b_dec`` it would take a matrix product as large as the encoder's.

        Products in bfloat16 leave a grid that is coarser than a kernel. So with a bandwidth the
        values are those of float32 products also under autocast, as on every device. Gradients
        still are those of the faster products.
        """
        subtracted = self.subtracted
        shift = (subtracted.detach() - subtracted) @ self.W_enc.detach()
        pre = (x - subtracted.detach()) @ self.W_enc + shift
        if "b_enc" in self.vectors:
            pre = pre + self.b_enc
        if not self.bandwidth or not torch.is_autocast_enabled(x.device.type):
            return pre
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            exact = self.pre_activations(x)
        return pre + (exact - pre).detach()

    def pre_activations(self, x: Tensor, latents: Tensor | slice = slice(None)) -> Tensor:
        """Pre-activations [B, h] of some latents, in the parameters' dtype."""
        W_enc = self.W_enc[:, latents]
        pre = (x.to(W_enc.dtype) - self.subtracted) @ W_enc
        return pre + self.b_enc[latents] if "b_enc" in self.vectors else pre

    def key(self, pre: Tensor) -> Tensor:
        """How strongly each latent is active, never negative."""
        return pre.abs() if self.two_sided else pre.relu()

    def facing(self, pre: Tensor, v: Vectors) -> Facing:
        """The sides that pre-activations [B, h] of h latents face, whose vectors are [h].

        Where both sides share a vector there is nothing to choose. Gates choose all the same: their
        gradients were always summed side by side, and another order would round otherwise.
        """
        sides = self.sides(v)
        if not self.two_sided:
            return Facing(pre, sides.theta_pos, sides.r_pos.exp(), sides.c_pos)
        theta, r, c = (
            torch.where(pre > 0, positive, negative)
            if self.penalised == GATE or positive is not negative
            else positive
            for positive, negative in zip(sides[::2], sides[1::2], strict=True)
        )
        return Facing(pre.abs(), theta, r.exp(), c)

    def gated(self, pre: Tensor, side: Facing) -> Tensor:
        """The code [B, h] of all entries above their thresholds."""
        m = (side.size * side.gain + side.c).relu() * (side.size > side.theta)
        return torch.copysign(m, pre) if self.two_sided else m

    def activate(self, pre: Tensor, v: Vectors) -> Tensor:
        """The code [B, h] after training of pre-activations [B, h]."""
        if self.opened == BY_ROW:
            return self.select(pre, v, int(self.k))
        z = self.gated(pre, self.facing(pre, v))
        return z * (self.key(pre) > self.threshold) if self.opened == BY_BATCH else z

    def select(self, pre: Tensor, v: Vectors, knob: float) -> Tensor:
        """The code [B, H] of a batch in training, at lambda or k of this step."""
        side = self.facing(pre, v)
        z = self.gated(pre, side)
        if self.opened == BY_ROW:
            return strongest(z, self.key(pre), int(knob))
        if self.opened == BY_BATCH:
            every, keys = z.reshape(1, -1), self.key(pre).reshape(1, -1)
            return strongest(every, keys, int(knob) * len(pre)).view_as(pre)
        if not self.bandwidth:
            return z
        jump = (side.theta * side.gain + side.c).detach() * self.risen(side)
        return z + (jump * pre.sign() if self.two_sided else jump)

    def risen(self, side: Facing) -> Tensor:
        """Zeros [B, H], whose gradient at theta is that of a step there, as a kernel of the width
        ``bandwidth`` estimates it (arXiv 2407.14435)."""
        theta = side.theta.detach()
        near = (side.size.detach() - theta).abs() < self.bandwidth / 2
        return near * ((theta - side.theta) / self.bandwidth)

    def penalty(self, pre: Tensor, v: Vectors, z: Tensor) -> Tensor | None:
        """What lambda weighs of each entry, [B, H]; None where nothing is penalised."""
        if self.penalised == SIZE:
            return z.abs()
        if self.penalised == GATE:
            side = self.facing(pre, v)
            return (side.size - side.theta).relu()
        if self.penalised == COUNT:
            alive = (z != 0).to(z.dtype)
            return alive + self.risen(self.facing(pre, v)) if self.bandwidth else alive
        return None

    def left(self, x: Tensor, y: Tensor) -> Tensor:
        """[B, d_out], what a skip leaves of y for the latents to predict."""
        return y - (x - self.centre) @ self.W_skip if self.skips else y

    def errors(self, y: Tensor, z: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Terms of the reconstruction, and y - y_hat [B, d_out]."""
        if not self.nested:
            error = y - self.reconstruct(z)
            return {"reconstruction": error.square().sum(1).mean()}, error
        error, squares = y - self.b_dec, []
        for first, last in pairwise((0, *self.levels)):
            error = error - z[:, first:last] @ self.W_dec[first:last]
            squares.append(error.square().sum(1).mean())
        inner = torch.stack(squares[:-1]).sum() if squares[:-1] else y.new_zeros(())
        return {"reconstruction": squares[-1], "levels": inner}, error

    def auxiliary_terms(
        self, y: Tensor, pre: Tensor, v: Vectors, error: Tensor
    ) -> dict[str, Tensor]:
        """Further terms, which keep latents alive."""
        if self.auxk_coefficient:
            of_dead = self._dead_columns(pre)
            term = auxk_loss(error.detach(), *of_dead, self.auxk_latents, self.two_sided)
            return {"auxiliary": term}
        if not self.auxiliary:
            return {"auxiliary": y.new_zeros(())} if self.penalised == GATE else {}
        side = self.facing(pre, v)
        p = (side.size - side.theta).relu()
        a = torch.copysign(p, pre) if self.two_sided else p
        fixed = y, self.W_dec, self.b_dec
        y, W, b = fixed if self.trains_auxiliary else (value.detach() for value in fixed)
        return {"auxiliary": (y - a @ W - b).square().sum(1).mean()}

    def _dead_columns(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        """Pre-activations [B, D] and decoder rows [D, d] of the dead latents; from `listed`, whose
        length the host knows, with zeros in the place of those that are not dead."""
        if self.listed is not None and self.dead is not None:
            latents, is_listed = self.listed
            is_dead = self.dead.index_select(0, latents) & is_listed
            return pre.index_select(1, latents) * is_dead, self.W_dec.index_select(0, latents)
        none = pre.new_zeros(0, dtype=torch.int64)
        latents = none if self.dead is None else self.dead.nonzero().flatten()
        return pre.index_select(1, latents), self.W_dec.index_select(0, latents)

    def training_terms(
        self, x: Tensor, lam: float, y: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Terms before their `weights`, and the code of the batch, as autograd takes them."""
        y = x if y is None else self.left(x, y)
        pre, v = self.tracked(x), self._vectors()
        z = self.select(pre, v, lam)
        terms, error = self.errors(y, z)
        if (costs := self.penalty(pre, v, z)) is not None:
            if not self.unit_rows and self.penalised != COUNT:
                costs = costs * self.W_dec.norm(dim=1)
            terms["penalty"] = costs.sum(1).mean()
        return {**terms, **self.auxiliary_terms(y, pre, v, error)}, z.detach()

    def weights(self, lam: float) -> dict[str, float]:
        """Coefficients of the terms of `training_terms`, by name; 1 for those that are absent.

        AuxK, a share of the error's variance, is weighed by the variance of the activations.
        """
        weights = {"penalty": lam}
        if self.nested:
            weights |= {"reconstruction": self.level_weight, "levels": self.level_weight}
        if self.auxk_coefficient:
            weights["auxiliary"] = self.auxk_coefficient * self.variance
        return weights

    def loss(self, x: Tensor, lam: float, y: Tensor | None = None) -> dict[str, Tensor]:
        """The terms whose sum is minimised; ``lam`` is k for the k-sparse families.

        Args:
            x: [B, d] normalised activations.
            lam: Sparsity coefficient, or k.
            y: [B, d_out] normalised activations that a transcoder is to predict.
        """
        terms, _ = self.training_terms(x, lam, y)
        weights = self.weights(lam)
        return {name: weights.get(name, 1.0) * term for name, term in terms.items()}

    def code(self, x: Tensor) -> Tensor:
        """Code z [B, H] of normalised activations x [B, d], in the parameters' dtype."""
        z = self.activate(self.pre_activations(x), self._vectors())
        return z.to(self.W_dec.dtype)  # a threshold may be float32 where the rest is bfloat16

    def code_of_latents(self, x: Tensor, latents: Tensor) -> Tensor:
        """The columns ``latents`` [k] of ``code(x)``, [B, k], at the cost of k latents.

        Equal up to the rounding of products of another shape. Where an entry opens by its rank in
        its row, all latents are computed.
        """
        if self.opened == BY_ROW:
            return self.code(x)[..., latents]
        vectors = {name: value[latents] for name, value in self._vectors().items()}
        return self.activate(self.pre_activations(x, latents), vectors)

    def _vectors(self) -> dict[str, Tensor]:
        return {name: self.get_parameter(name) for name in self.vectors}

    def reconstruct(self, z: Tensor) -> Tensor:
        """Reconstruction [B, d_out] of normalised activations from a code [B, H]."""
        return sparse_product(z, self.W_dec) + self.b_dec

    def predict(self, x: Tensor, z: Tensor) -> Tensor:
        predicted = self.reconstruct(z)
        if not self.skips:
            return predicted
        return predicted + (x.to(self.W_skip.dtype) - self.centre) @ self.W_skip

    def constrain(self) -> None:
        """Unit decoder rows, unless they are free or frozen, and the vectors' feasible set."""
        if self.unit_rows and self.trains_decoder and self.W_dec.requires_grad:
            self.normalise_decoder()
        self.project()

    def normalise_decoder(self) -> None:
        """Give every decoder row unit norm, in place."""
        rows = self.W_dec.detach()
        rows /= rows.norm(dim=1, keepdim=True).clamp_min_(torch.finfo(rows.dtype).tiny)


def is_as_declared(sae: Dictionary) -> bool:
    """Whether neither the class nor the autoencoder has a method of its own in place of one of
    `Dictionary`."""
    return all(
        getattr(type(sae), name) is method and name not in vars(sae)
        for name, method in vars(Dictionary).items()
        if isfunction(method) or isinstance(method, property)
    )
