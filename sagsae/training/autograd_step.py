"""Loss and gradients of one batch by autograd, for an autoencoder that is no gate."""

from __future__ import annotations

import sys
from functools import partial

import torch
from torch import Tensor

from sagsae.autoencoders.base import Autoencoder
from sagsae.training.step import Terms


class AutogradStep:
    """Gradients of the weighted terms of ``sae.training_terms``.

    A ``loss`` that a class defines below the ``training_terms`` that it inherits takes their place.

    Args:
        sae: The autoencoder; parameters that require no gradient are left as they are.
        dtype: bfloat16 for products under PyTorch's autocast; else everything is computed in the
            parameters' dtype.

    Attributes:
        params: The trained parameters by name, outside autograd.
        grads: Gradients of the last batch, by parameter.
        weights: As of `Autoencoder`, of the terms that are trained.

    Raises:
        ValueError: no parameter requires a gradient, or ``loss`` gives no reconstruction.
    """

    def __init__(self, sae: Autoencoder, dtype: torch.dtype):
        self.sae, self.dtype = sae, dtype
        self._plain, self.weights = sae.training_terms, sae.weights
        methods = [vars(parent).keys() & {"loss", "training_terms"} for parent in type(sae).__mro__]
        if next(filter(None, methods)) == {"loss"}:  # the lowest class that has either
            self._plain = partial(Autoencoder.training_terms, sae)
            self.weights = partial(Autoencoder.weights, sae)
        self._terms = self._plain
        trained = {name: value for name, value in sae.named_parameters() if value.requires_grad}
        if not trained:
            raise ValueError(f"{sae.name}: no parameter requires a gradient, so nothing is trained")
        self.device = next(iter(trained.values())).device
        self.params = {name: value.detach() for name, value in trained.items()}
        self.grads = {name: torch.zeros_like(value) for name, value in self.params.items()}
        for name, value in trained.items():
            value.grad = self.grads[name]  # autograd adds to what is there

    def refresh(self) -> None:
        """There are no copies of the weights."""

    def fuse(self, backend: str = "inductor") -> None:
        """Compile the terms of the loss. Where PyTorch cannot, the first step says so, and all are
        made as they are."""
        self._terms = torch.compile(self._plain, backend=backend)

    def __call__(
        self, x: Tensor, lam: float, fired: Tensor | None = None, y: Tensor | None = None
    ) -> Terms:
        """Fill ``grads`` for normalised activations x [B, d]; arguments as of `CpuStep`."""
        for grad in self.grads.values():
            grad.zero_()
        low = self.dtype == torch.bfloat16
        with torch.autocast(self.device.type, self.dtype, enabled=low):
            terms, code = self._compiled_or_plain(x, lam, *([] if y is None else [y]))
            weights = self.weights(lam)
            total = sum(
                (weights.get(name, 1.0) * term for name, term in terms.items()), x.new_zeros(())
            )
        if "reconstruction" not in terms:
            raise ValueError(f"{self.sae.name}.loss gives {', '.join(terms)}, no reconstruction")
        torch.autograd.backward(total)
        with torch.no_grad():
            counts = (code != 0).sum(0, dtype=torch.int32)  # faster than any(0)
            if fired is not None:
                fired.logical_or_(counts > 0)
            l0 = counts.sum().to(total.dtype) / len(x)
        return Terms(**{name: term.detach() for name, term in terms.items()}, l0=l0)

    def _compiled_or_plain(
        self, x: Tensor, lam: float, *target: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        try:
            return self._terms(x, lam, *target)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self._terms == self._plain:
                raise
            self._terms = self._plain
            terms = self._terms(x, lam, *target)  # an error of its own is raised here
            print(
                f"warning: PyTorch cannot compile the training step ({type(error).__name__}); it "
                "runs uncompiled, which makes a step on a GPU slower. Install gcc or clang, or "
                "name a compiler in CC.",
                file=sys.stderr,
                flush=True,
            )
            return terms
