"""Autoencoders whose code is a gate's: one family of losses, written once.

With ``u = (x - b_dec) W_enc`` [B, H] the one encoder product that every variant starts from, ``a``
[B, H] the auxiliary code, and ``p`` the gate's rectified pre-activations, the loss is

    mean_B |x - z W_dec - b_dec|^2  +  lambda mean_B sum_i p_i  +  mean_B |x - a W_dec' - b_dec'|^2

with the auxiliary decoder (W_dec', b_dec') frozen. A variant is its per-latent ``vectors`` and the
``sides`` that they make; the training steps write the gradients out from these alone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.encoder_product import encoder_product
from sagsae.autoencoders.sparse_product import sparse_product

if TYPE_CHECKING:
    from sagsae.schedules import Recipe

Vectors = Mapping[str, Tensor]
Sides = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""theta+, theta-, gain+, gain-, c+, c-, each [H]."""


class GatedAutoencoder(Autoencoder):
    """Parameters ``W_enc`` [d, H], ``W_dec`` [H, d] of unit rows, ``b_dec`` [d], vectors [H].

    Attributes:
        unit_rows: Whether the rows of ``W_dec`` keep norm 1. Else the penalty weighs each latent by
            the norm of its row.
        trains_auxiliary: Whether the auxiliary term trains ``W_dec`` and ``b_dec`` as well.
    """

    vectors: ClassVar[tuple[str, ...]]
    """Names of the per-latent parameters, in order."""
    thresholds: ClassVar[tuple[str, ...]] = ()
    """Those that start from `initial_theta`; all others start from 0."""
    log_gains: ClassVar[tuple[str, ...]] = ()
    """Those that are logarithms of gains: without a unit, and no reset changes them."""
    auxiliary: ClassVar[bool] = True
    """Whether the loss has the auxiliary term."""
    two_sided: ClassVar[bool] = False
    """Whether one latent serves both signs."""

    W_enc: Tensor
    b_dec: Tensor

    def __init__(
        self, d: int, width: int, scale: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(d, width, scale)
        self.initial_theta = 0.0  # what thresholds start from, and are reset to
        self.matched_gate, self.unit_rows, self.trains_auxiliary = False, True, False
        tensors = {
            "W_enc": torch.zeros(width, d, dtype=dtype).T,  # a latent's weights lie together
            "W_dec": torch.zeros(width, d, dtype=dtype),
            "b_dec": torch.zeros(d, dtype=dtype),
            **{name: torch.zeros(width, dtype=dtype) for name in self.vectors},
        }
        for name, value in tensors.items():
            self.register_parameter(name, nn.Parameter(value))

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe | None = None) -> None:
        """Random unit decoder rows, tied encoder, ``b_dec`` at ``mean`` or, by the recipe, at zero.

        Thresholds start at ``recipe.theta_init`` (1.2 without a recipe) in units of the spread
        that a random row gives ``u``: sqrt((n - |mean|^2) / d), where n is the mean square norm of
        the activations, 1 or, by the recipe's ``input_norm``, d.
        The spread is that over activations, which ``b_dec`` does not change.
        """
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(self.width, self.d, generator=generator, dtype=torch.float32)
        rows /= rows.norm(dim=1, keepdim=True)
        norm = 1.0 if recipe is None else recipe.decoder_init_norm
        rows *= norm
        params = self.params
        params["W_dec"].copy_(rows)
        params["W_enc"].copy_(rows.T)
        params["b_dec"].zero_()
        if recipe is None or recipe.b_dec_init == "mean":
            params["b_dec"].copy_(mean)
        total = self.d if recipe is not None and recipe.input_norm == "sqrt_d" else 1
        spread = max(0.0, total - float(mean.double().square().sum()))
        theta_init = 1.2 if recipe is None else recipe.theta_init
        self.initial_theta = norm * theta_init * math.sqrt(spread / self.d)
        self.matched_gate = recipe is not None and recipe.gate_init == "matched"
        self.unit_rows = recipe is None or recipe.decoder_norm == "unit"
        self.trains_auxiliary = recipe is not None and recipe.auxiliary_decoder == "trained"
        self.reset_latents(torch.ones_like(params["W_dec"][:, 0], dtype=torch.bool))

    @property
    def latent_axes(self) -> dict[str, int]:
        return {"W_enc": 1, "W_dec": 0, **dict.fromkeys(self.vectors, 0)}

    def reset_latents(self, silent: Tensor) -> None:
        """Set vectors to their initial values. Gains stay."""
        for name in {*self.vectors} - {*self.log_gains}:
            self.params[name].masked_fill_(silent, self.initial_value(name))

    def initial_value(self, name: str) -> float:
        """What a vector starts from."""
        return self.initial_theta if name in self.thresholds else 0.0

    @abstractmethod
    def sides(self, v: Vectors) -> Sides:
        """The gate as six vectors [H]: theta+, theta-, gain+, gain-, c+, c-.

        u opens the positive side above theta+, else the negative one below -theta-. With s = u or
        -u and the vectors of that side, p = s - theta and |z| = max(0, s gain + c). Both thetas of
        a two-sided gate are non-negative; the theta- of a one-sided gate is infinite. What both
        sides share is the same tensor in both places.
        """

    @abstractmethod
    def add_side_gradients(self, sums: Tensor, grads: dict[str, Tensor]) -> None:
        """Add to the vectors' gradients.

        Args:
            sums: [6, H] gradients of theta+, theta-, log gain+, log gain-, c+, c-. That of a
                tensor which both sides share may lie in the first of its two rows alone.
            grads: By name; changed.
        """

    def codes(
        self, u: Tensor, v: Vectors, z: Tensor, a: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Write the code and the auxiliary code of ``u`` [B, H].

        Args:
            z, a: Shape of ``u``; receive the codes. ``a`` may be None.

        Returns:
            Summed over the rows, [H]: the penalised gate pre-activations ``p``, and z != 0.
        """
        p, m = self._sizes(u, v)
        sums = p.sum(0), (m > 0).sum(0)
        z.copy_(m.copysign_(u) if self.two_sided else m)
        if a is not None:
            a.copy_(torch.copysign(p, u) if self.two_sided else p)
        return sums

    def _sizes(self, u: Tensor, v: Vectors) -> tuple[Tensor, Tensor]:
        """Size of the gate's pre-activation where it is open, and of the code, both [B, H]."""
        theta, gain, c = self._facing(u, self.sides(v))
        size = u.abs() if self.two_sided else u
        p = (size - theta).clamp_min_(0)
        return p, (size * gain).add_(c).clamp_min_(0).mul_(p > 0)

    def code_gradients(
        self,
        u: Tensor,
        v: Vectors,
        penalty: Tensor,
        du: Tensor,
        dz: Tensor,
        da: Tensor | None = None,
    ) -> Tensor:
        """Backward of ``codes``.

        Args:
            penalty: Weight of each element of ``p`` in the loss (lambda / B): scalar, or [H].
            du: Receives the gradient with respect to ``u``.
            dz: Gradient of the loss with respect to the code.
            da: Gradient with respect to the auxiliary code; None where there is none.

        Returns:
            [7, H]: six rows as `add_side_gradients` takes them, and ``du`` summed over the batch.
        """
        sides = self.sides(v)
        theta, gain, c = self._facing(u, sides)
        size, sign = (u.abs(), u.sign()) if self.two_sided else (u, None)
        is_open, scaled = size > theta, size * gain
        at_z = dz if sign is None else dz * sign  # from here on with respect to |z| and |a|
        at_z = at_z * (is_open & (scaled + c > 0))
        at_p = penalty if da is None else penalty + (da if sign is None else da * sign)
        at_p = at_p * is_open
        back = at_z * gain + at_p
        back = back if sign is None else back * sign
        du.copy_(back)
        rows = [
            row
            for k, value in enumerate((-at_p, scaled * at_z, at_z))
            for row in self._by_side(value, u, sides[2 * k] is sides[2 * k + 1])
        ]
        return torch.stack([*rows, back.sum(0)])

    def _facing(self, u: Tensor, sides: Sides) -> tuple[Tensor, Tensor, Tensor]:
        """theta, gain and c of the side that each element faces; [H] where both sides agree."""
        theta, gain, c = (
            positive
            if positive is negative or not self.two_sided
            else torch.where(u > 0, positive, negative)
            for positive, negative in zip(sides[::2], sides[1::2], strict=True)
        )
        return theta, gain, c

    def _by_side(self, value: Tensor, u: Tensor, shared: bool) -> tuple[Tensor, Tensor]:
        """Sums over the rows, [H], of the elements on either side of zero."""
        if shared or not self.two_sided:
            total = value.sum(0)
            return total, torch.zeros_like(total)
        return (value * (u > 0)).sum(0), (value * (u <= 0)).sum(0)

    def training_terms(self, x: Tensor, lam: float) -> tuple[dict[str, Tensor], Tensor]:
        """Terms before their `weights`, and the code of the batch, as autograd takes them."""
        u = encoder_product(x, self.W_enc, self.b_dec)
        p, size = self._sizes(u, self._vectors())
        z, a = (torch.copysign(v, u) if self.two_sided else v for v in (size, p))
        costs = p if self.unit_rows else p * self.W_dec.norm(dim=1)
        terms = {"reconstruction": (x - self.decode(z)).square().sum(1).mean()}
        terms["penalty"] = costs.sum(1).mean()
        if self.auxiliary:
            decoder = self.W_dec, self.b_dec
            W, b = decoder if self.trains_auxiliary else (value.detach() for value in decoder)
            terms["auxiliary"] = (x - a @ W - b).square().sum(1).mean()
        return terms, z.detach()

    def weights(self, lam: float) -> dict[str, float]:
        return {"penalty": lam}

    def loss(self, x: Tensor, lam: float) -> dict[str, Tensor]:
        """The terms whose sum is minimised, each with its weight in it."""
        terms, _ = self.training_terms(x, lam)
        weights = self.weights(lam)
        return {name: weights.get(name, 1.0) * term for name, term in terms.items()}

    def parameters_per_latent(self) -> int:
        """Trainable scalars of one latent: its encoder row, its decoder row and its vectors."""
        return 2 * self.d + len(self.vectors)

    def constrain(self) -> None:
        """Unit decoder rows, unless they are free, and the vectors' feasible set."""
        if self.unit_rows:
            self.normalise_decoder()
        self.project()

    def project(self) -> None:
        """Return the vectors to their feasible set after an optimiser step."""
        return

    def normalise_decoder(self) -> None:
        """Give every decoder row unit norm, in place."""
        rows = self.W_dec.detach()
        rows /= rows.norm(dim=1, keepdim=True).clamp_min_(torch.finfo(rows.dtype).tiny)

    def finish(self) -> None:
        """Fold the norms of the decoder's rows, where they are free."""
        if not self.unit_rows:
            self.fold_norms()

    @property
    def unfinished(self) -> str:
        return "" if self.unit_rows else "finish()"

    def fold_norms(self) -> None:
        """Move the norms of the decoder's rows into the encoder; no reconstruction changes."""
        params, tiny = self.params, torch.finfo(self.W_dec.dtype).tiny
        norms = params["W_dec"].norm(dim=1).clamp_min_(tiny)
        params["W_dec"] /= norms[:, None]
        params["W_enc"] *= norms
        for name in {*self.vectors} - {*self.log_gains}:
            params[name] *= norms
        self.unit_rows = True

    def encode(self, x: Tensor) -> Tensor:
        """Code z [B, H] of normalised activations x [B, d], in the parameters' dtype."""
        return self._codes_alone(x, self.W_enc, self._vectors())

    def encode_latents(self, x: Tensor, latents: Tensor) -> Tensor:
        """The columns ``latents`` [k] of ``encode(x)`` up to rounding, at the cost of k latents."""
        vectors = {name: value[latents] for name, value in self._vectors().items()}
        return self._codes_alone(x, self.W_enc[:, latents], vectors)

    def _codes_alone(self, x: Tensor, W_enc: Tensor, vectors: Vectors) -> Tensor:
        u = self._products(x, W_enc)
        if type(self).codes is not GatedAutoencoder.codes:  # a class may have its own
            z = torch.empty_like(u)
            self.codes(u, vectors, z)
            return z
        _, size = self._sizes(u, vectors)  # without the sums, which training alone needs
        return size.copysign_(u) if self.two_sided else size

    def _products(self, x: Tensor, W_enc: Tensor) -> Tensor:
        return (x.to(W_enc.dtype) - self.b_dec) @ W_enc

    def _vectors(self) -> dict[str, Tensor]:
        return {name: self.get_parameter(name) for name in self.vectors}

    def decode(self, z: Tensor) -> Tensor:
        """Reconstruction [B, d] of normalised activations from a code [B, H]."""
        return sparse_product(z, self.W_dec) + self.b_dec
