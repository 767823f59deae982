"""What every sparse autoencoder variant shares: parameters, encode, decode, storage.

Notation, used throughout the package: ``x`` [B, d] activations at unit mean square, ``W_enc``
[d, H], ``W_dec`` [H, d] with unit rows, ``b_dec`` [d], per-latent vectors [H],
``u = (x - b_dec) W_enc`` [B, H] the one encoder product that every variant starts from, ``z``
[B, H] the code, ``a`` [B, H] the auxiliary code, ``p`` the gate's rectified pre-activations that
lambda penalises.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import save
from torch import Tensor

Vectors = Mapping[str, Tensor]
Add = Callable[[str, Tensor], None]


class Autoencoder(ABC):
    """A sparse autoencoder over activations of width ``d`` with ``width`` = H latents.

    Args:
        d: Width of the activations.
        width: Number of latents H.
        scale: Multiplies raw activations so that their mean square norm is one; kept with the
            weights. ``decode(encode(raw * scale)) / scale`` reconstructs raw activations.
    """

    name: ClassVar[str]
    vectors: ClassVar[tuple[str, ...]]
    """Names of the per-latent parameters, in order."""
    auxiliary: ClassVar[bool] = True
    """Whether the loss has the auxiliary term, mean_B |x - x_aux|^2."""
    two_sided: ClassVar[bool] = False
    """Whether one latent serves both signs."""

    def __init__(self, d: int, width: int, scale: float = 1.0, dtype: torch.dtype = torch.float32):
        self.d, self.width, self.scale = d, width, float(scale)
        self.theta = 0.0  # what thresholds start from, and are reset to
        self.params: dict[str, Tensor] = {
            "W_enc": torch.zeros(width, d, dtype=dtype).T,  # a latent's weights lie together
            "W_dec": torch.zeros(width, d, dtype=dtype),
            "b_dec": torch.zeros(d, dtype=dtype),
            **{name: torch.zeros(width, dtype=dtype) for name in self.vectors},
        }

    def initialise(self, mean: Tensor, seed: int, theta_init: float = 1.2) -> None:
        """Random unit decoder rows, tied encoder, ``b_dec`` = mean of the normalised activations.

        Args:
            mean: [d] mean of the normalised training activations.
            seed: Seed of the decoder rows; drawn on the CPU, so equal on every device.
            theta_init: Initial threshold of two-sided gates in units of the spread that a random
                row gives ``u``: sqrt((1 - |mean|^2) / d), as the mean square norm is one. Where the
                mean carries most of the norm, a threshold in units of 1/sqrt(d) shuts every gate.
        """
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(self.width, self.d, generator=generator, dtype=torch.float32)
        rows /= rows.norm(dim=1, keepdim=True)
        self.params["W_dec"].copy_(rows)
        self.params["W_enc"].copy_(rows.T)
        self.params["b_dec"].copy_(mean)
        centred_share = max(0.0, 1.0 - float(mean.double().square().sum()))
        self.theta = theta_init * math.sqrt(centred_share / self.d)
        self.initialise_vectors(self.theta)

    def initialise_vectors(self, theta: float) -> None:
        """Set the per-latent vectors; zero unless a variant says otherwise."""
        return

    def to(self, device: torch.device | str) -> Autoencoder:
        """Move the parameters, in place."""
        self.params = {name: value.to(device) for name, value in self.params.items()}
        return self

    @abstractmethod
    def sides(self, v: Vectors) -> tuple[Tensor, ...]:
        """The gate as six vectors [H]: theta+, theta-, gain+, gain-, c+, c-.

        u opens the positive side above theta+, else the negative one below -theta-. With s = u or
        -u and the vectors of that side, p = s - theta and |z| = max(0, s gain + c). A side that
        never opens has an infinite theta.
        """

    @abstractmethod
    def add_side_gradients(self, sums: Tensor, grads: dict[str, Tensor]) -> None:
        """Add to the vectors' gradients.

        Args:
            sums: [6, H] gradients of theta+, theta-, log gain+, log gain-, c+, c-.
            grads: By name; changed.
        """

    @abstractmethod
    def codes(self, u: Tensor, v: Vectors, z: Tensor, a: Tensor) -> Tensor:
        """Write the code and the auxiliary code of ``u``.

        Args:
            u: Encoder products, float32 or float64, any shape [..., H]. Left as it is.
            v: The per-latent vectors [H].
            z: Shape of ``u``; receives the code, in whatever dtype it has.
            a: Shape of ``u``; receives the auxiliary code.

        Returns:
            Scalar sum of the penalised gate pre-activations ``p``.
        """

    @abstractmethod
    def code_gradients(
        self, u: Tensor, v: Vectors, dz: Tensor, da: Tensor, penalty: Tensor, du: Tensor, add: Add
    ) -> None:
        """Backward of ``codes``.

        Args:
            u: As in ``codes``. May be overwritten.
            v: As in ``codes``.
            dz: Gradient of the loss with respect to the code. May be overwritten.
            da: Gradient with respect to the auxiliary code. May be overwritten.
            penalty: Scalar weight of each element of ``p`` in the loss (lambda / B).
            du: Receives the gradient with respect to ``u``.
            add: Called as ``add(name, value)`` with each element's share, shaped like ``u``, of
                the gradient of the vector ``name``.
        """

    def project(self) -> None:
        """Return the vectors to their feasible set after an optimiser step."""
        return

    def reset_latents(self, silent: Tensor) -> tuple[str, ...]:
        """Reopen latents that have been silent for too long.

        Args:
            silent: [H] bool.

        Returns:
            Names of the vectors that were changed, whose optimiser moments must be cleared.
        """
        return ()

    def normalise_decoder(self) -> None:
        """Give every decoder row unit norm, in place."""
        rows = self.params["W_dec"]
        rows /= rows.norm(dim=1, keepdim=True).clamp_min_(torch.finfo(rows.dtype).tiny)

    def encode(self, x: Tensor) -> Tensor:
        """Code z [B, H] of normalised activations x [B, d], in the parameters' dtype."""
        return self._encode(x, self.params["W_enc"], self.params)

    def encode_latents(self, x: Tensor, latents: Tensor) -> Tensor:
        """The columns ``latents`` [k] of ``encode(x)``, [B, k], at the cost of k latents.

        Equal up to the rounding of products of another shape.
        """
        vectors = {name: self.params[name][latents] for name in self.vectors}
        return self._encode(x, self.params["W_enc"][:, latents], vectors)

    def _encode(self, x: Tensor, W_enc: Tensor, vectors: Vectors) -> Tensor:
        u = (x.to(W_enc.dtype) - self.params["b_dec"]) @ W_enc
        z, a = torch.empty_like(u), torch.empty_like(u)
        self.codes(u, vectors, z, a)
        return z

    def decode(self, z: Tensor) -> Tensor:
        """Reconstruction [B, d] of normalised activations from a code [B, H]."""
        return z @ self.params["W_dec"] + self.params["b_dec"]

    def parameter_count(self) -> int:
        """Trainable scalars: 2dH + len(vectors) H + d."""
        return sum(value.numel() for value in self.params.values())

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; its metadata names the variant, sizes and scale."""
        header = {"variant": self.name, "d": self.d, "width": self.width, "scale": self.scale}
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.params.items()}
        content = save(tensors, metadata={"autoencoder": json.dumps(header, sort_keys=True)})
        Path(path).write_bytes(content)  # not save_file: killed, it leaves a file of its own behind
