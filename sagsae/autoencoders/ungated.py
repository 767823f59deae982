"""Autoencoders without a gate: one encoder product, and an activation function of it.

With ``pre = (x - c b_dec) W_enc + b_enc`` [B, H], where c is 1 for a centred encoder and 0 for a
plain one, the code ``z`` is a function of ``pre``, and ``x_hat = z W_dec + b_dec``. Each family has
a file of its own: which entries are active, and what its loss has beside the reconstruction

    mean_B |x - x_hat|^2

whose squares are summed over d. `loss` is plain PyTorch, which autograd differentiates as that of
any class of a user's own. On a CPU the trainer has a faster step with the same gradients, see
`sagsae.training.ungated_step`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from sagsae.autoencoders.auxk import auxk_loss, nearest_power_of_two
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.encoder_product import encoder_product
from sagsae.autoencoders.sparse_product import sparse_product

if TYPE_CHECKING:
    from sagsae.schedules import Recipe


class UngatedAutoencoder(Autoencoder):
    """Parameters ``W_enc`` [d, H], ``W_dec`` [H, d], ``b_enc`` [H], ``b_dec`` [d].

    Attributes:
        unit_rows: Whether the rows of ``W_dec`` keep norm 1.
        auxk_coefficient: Weight of the AuxK term, see `sagsae.autoencoders.auxk`; 0 for none.
        auxk_latents: Dead latents per token in it.
        variance: Mean squared distance of the activations from their mean, which that weight is
            relative to.
    """

    two_sided: ClassVar[bool] = False
    """Whether one latent serves both signs."""
    vectors: ClassVar[tuple[str, ...]] = ("b_enc",)
    """Names of the per-latent parameters, in order."""
    exact = ("threshold",)
    revives: ClassVar[bool] = False
    """Whether the loss may have an AuxK term."""
    may_free_rows: ClassVar[bool] = False
    """Whether a recipe may free the norms of the decoder's rows; else they are 1."""

    W_enc: Tensor
    b_enc: Tensor
    b_dec: Tensor
    centred: Tensor

    def __init__(self, d: int, width: int, scale: float = 1.0) -> None:
        super().__init__(d, width, scale)
        self.unit_rows = True
        self.auxk_coefficient, self.auxk_latents, self.variance = 0.0, 0, 1.0
        tensors = {
            "W_enc": torch.zeros(width, d).T,  # a latent's weights lie together
            "W_dec": torch.zeros(width, d),
            "b_dec": torch.zeros(d),
            **{name: torch.zeros(width) for name in self.vectors},
        }
        for name, value in tensors.items():
            self.register_parameter(name, nn.Parameter(value))
        self.register_buffer("centred", torch.ones((), dtype=torch.int64))

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe | None = None) -> None:
        """Random decoder rows, unit unless the recipe frees their norm and the family may; tied
        encoder; no bias of the encoder; ``b_dec`` at ``mean`` or, by the recipe, at zero."""
        from sagsae.schedules import Recipe

        how = recipe or Recipe(steps=1, batch_size=1, lam=0.0, learning_rate=1.0)
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(self.width, self.d, generator=generator, dtype=torch.float32)
        self.unit_rows = how.decoder_norm == "unit" or not self.may_free_rows
        norm = 1.0 if self.unit_rows else how.decoder_init_norm
        rows *= norm / rows.norm(dim=1, keepdim=True)
        params = self.params
        params["W_dec"].copy_(rows)
        params["W_enc"].copy_(rows.T)
        params["b_enc"].zero_()
        params["b_dec"].zero_()
        if how.b_dec_init == "mean":
            params["b_dec"].copy_(mean)
        self.centred.fill_(how.encoder_input == "centred")
        total = self.d if how.input_norm == "sqrt_d" else 1
        spread = total - float(mean.double().square().sum())
        self.variance = max(spread, total * torch.finfo(torch.float32).eps)
        if self.revives and how.auxk_coefficient:
            self.auxk_coefficient = how.auxk_coefficient
            self.auxk_latents = how.auxk_latents or nearest_power_of_two(self.d / 2)
            self.dead_window_tokens = how.dead_window_tokens

    @abstractmethod
    def activate(self, pre: Tensor) -> Tensor:
        """The code [B, H] of pre-activations [B, H], as it is used after training."""

    def select(self, pre: Tensor, knob: float) -> Tensor:
        """The code [B, H] of a batch in training, at lambda or k of this step."""
        return self.activate(pre)

    def penalty(self, pre: Tensor, z: Tensor) -> Tensor | None:
        """What lambda weighs, as a scalar; None where nothing is penalised."""
        return None

    def errors(self, x: Tensor, z: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Terms of the reconstruction, and x - x_hat [B, d]."""
        error = x - self.decode(z)
        return {"reconstruction": error.square().sum(1).mean()}, error

    def training_terms(self, x: Tensor, lam: float) -> tuple[dict[str, Tensor], Tensor]:
        """Terms before their `weights`, and the code of the batch, as autograd takes them."""
        pre = self._tracked(x)
        z = self.select(pre, lam)
        terms, error = self.errors(x, z)
        if (penalty := self.penalty(pre, z)) is not None:
            terms["penalty"] = penalty
        if self.auxk_coefficient:
            terms["auxiliary"] = auxk_loss(
                error.detach(), pre, self.dead, self.W_dec, self.auxk_latents, self.two_sided
            )
        return terms, z.detach()

    def weights(self, lam: float) -> dict[str, float]:
        """Lambda of the penalty; of AuxK its coefficient times the variance of the activations."""
        return {"penalty": lam, "auxiliary": self.auxk_coefficient * self.variance}

    def loss(self, x: Tensor, lam: float) -> dict[str, Tensor]:
        """The terms whose sum is minimised; ``lam`` is k for the k-sparse families."""
        terms, _ = self.training_terms(x, lam)
        weights = self.weights(lam)
        return {name: weights.get(name, 1.0) * term for name, term in terms.items()}

    def _tracked(self, x: Tensor) -> Tensor:
        """Pre-activations for autograd."""
        return encoder_product(x, self.W_enc, self.centred * self.b_dec) + self.b_enc

    def encode(self, x: Tensor) -> Tensor:
        """Code z [B, H] of normalised activations x [B, d], in the parameters' dtype."""
        return self.activate(self._pre(x, self.W_enc, self.b_enc))

    def _pre(self, x: Tensor, W_enc: Tensor, b_enc: Tensor) -> Tensor:
        return (x.to(W_enc.dtype) - self.centred * self.b_dec) @ W_enc + b_enc

    def decode(self, z: Tensor) -> Tensor:
        """Reconstruction [B, d] of normalised activations from a code [B, H]."""
        return sparse_product(z, self.W_dec) + self.b_dec

    def key(self, pre: Tensor) -> Tensor:
        """How strongly each latent is active, [B, H], never negative: what selects it."""
        return pre.abs() if self.two_sided else pre.relu()

    def constrain(self) -> None:
        """Unit decoder rows, unless they are free, and the vectors' feasible set."""
        if self.unit_rows:
            rows = self.W_dec.detach()
            rows /= rows.norm(dim=1, keepdim=True).clamp_min_(torch.finfo(rows.dtype).tiny)
        self.project()

    def project(self) -> None:
        """Return the vectors to their feasible set after an optimiser step."""
        return

    def finish(self) -> None:
        """Move free norms of the decoder's rows into the encoder; no reconstruction changes."""
        if self.unit_rows:
            return
        params, tiny = self.params, torch.finfo(self.W_dec.dtype).tiny
        norms = params["W_dec"].norm(dim=1).clamp_min_(tiny)
        params["W_dec"] /= norms[:, None]
        params["W_enc"] *= norms
        for name in self.vectors:
            params[name] *= norms
        self.unit_rows = True

    @property
    def unfinished(self) -> str:
        return "" if self.unit_rows else "finish()"

    def parameters_per_latent(self) -> int:
        """Trainable scalars of one latent: its encoder row, its decoder row and its vectors."""
        return 2 * self.d + len(self.vectors)

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Self:
        """As of any module, but thresholds keep float32 where all else becomes shorter.

        A threshold in bfloat16 moves by steps of 0.4 %, and opens latents that were closed.
        """
        kept = {name: value for name, value in self.state_dict().items() if name in self.exact}
        apply: Callable[..., Self] = super()._apply
        found = apply(fn, *args, **kwargs)
        for name, value in kept.items():
            now = getattr(self, name)
            if now.is_floating_point() and now.dtype.itemsize < value.dtype.itemsize == 4:
                now.data = value.to(now.device)
        return found
