"""What every sparse autoencoder is, also one of a user's own package.

Notation, used throughout the package: ``x`` [B, d] activations at unit mean square, ``W_dec``
[H, d] what each latent adds to the reconstruction, ``z`` [B, H] the code.

A transcoder is an autoencoder with a `Target`: it reads x and predicts other activations y [B,
d_out] of the same tokens, such as the output of the MLP whose input it reads. Its decoder, its
error and its codes are in the units of y; an autoencoder's y is x.

A class of a user's own derives from `Autoencoder`, makes its parameters in ``__init__(d, width,
scale)``, and defines ``W_dec``, ``code``, ``reconstruct`` and ``loss``. Its name is
``my_package.module:Class``. The trainer differentiates ``loss`` by autograd.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from operator import index
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from sagsae import __version__
from sagsae.autoencoders.linear_map import LinearMap
from sagsae.files import write_atomic
from sagsae.training.recipe import DEFAULTS, Recipe


class Target(NamedTuple):
    """What a transcoder predicts.

    Attributes:
        d: Width d_out.
        scale: Multiplies raw targets so that their mean square norm is one.
        skip: Whether a matrix ``W_skip`` [d, d_out] of the input is added to the prediction.
    """

    d: int
    scale: float
    skip: bool = False


class Autoencoder(nn.Module, ABC):
    """A sparse autoencoder over activations of width ``d`` with ``width`` = H latents.

    ``__init__`` makes parameters and buffers and reads none of their values: `load` also runs it
    on PyTorch's meta device, to learn their shapes before it allocates them.

    Args:
        d: Width of the activations.
        width: Number of latents H.
        scale: Multiplies raw activations so that their mean square norm is one; kept with the
            weights, outside ``state_dict``.
        target: What is predicted, if that is not what is read.

    Raises:
        ValueError: d or the width is below 1.

    Attributes:
        name: The variant's name in configurations and files; ``module:Class`` by default.
        provenance: What a saved file says of its origin; empty for one that was not loaded.
        W_dec: [H, d_out], what each latent adds to the reconstruction. Calibration slopes and
            contributions take its rows to be of unit norm.
        exact: Parameters and buffers that may be float32 where all others are bfloat16.
        calibration_rows: Rows that `calibrate` needs after training; 0 for none.
        dead_window_tokens: Silence after which the trainer calls a latent dead; 0 where nothing
            depends on it.
        unit_rows: Whether training keeps the rows of ``W_dec`` at unit norm: the part of a gradient
            along its row is then left out.
        trains_decoder: Whether training changes ``W_dec``.
        dead: [H] bool, the latents that are dead in that sense, which the trainer sets before each
            step; None outside training, and without a window.
        listed: On a GPU, numbers [D] of the latents that were dead at the last logged
            step, filled up to a power of two, and [D] bool, which of these numbers count: a step
            on a GPU that asked for the dead ones would wait for the card.
    """

    name: str
    W_dec: Tensor
    exact: ClassVar[tuple[str, ...]] = ()
    calibration_rows: ClassVar[int] = 0
    dead_window_tokens: int = 0
    unit_rows: bool = False
    trains_decoder: bool = True
    dead: Tensor | None = None
    listed: tuple[Tensor, Tensor] | None = None

    def __init__(
        self, d: int, width: int, scale: float = 1.0, target: Target | None = None
    ) -> None:
        super().__init__()
        self.d, self.width, self.scale = index(d), index(width), float(scale)
        if min(self.d, self.width) < 1:
            raise ValueError(f"d is {self.d} and the width {self.width}: give 1 or more of each")
        self.target = target and Target(index(target.d), float(target.scale), bool(target.skip))
        self.provenance: dict[str, Any] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in vars(cls):
            cls.name = f"{cls.__module__}:{cls.__qualname__}"

    def extra_repr(self) -> str:
        """What `repr` says: the variant, d, H, what sets the sparsity, the target."""
        known: dict[str, Any] = {"d": self.d, "H": self.width}
        if isinstance(k := getattr(self, "k", None), Tensor):
            known["k"] = int(k)
        known |= {name: self.provenance[name] for name in ("k", "lam") if name in self.provenance}
        known |= {"target": self.target} if self.target else {}
        return ", ".join([self.name, *(f"{name}={value}" for name, value in known.items())])

    @property
    def d_out(self) -> int:
        """Width of what is predicted."""
        return self.target.d if self.target else self.d

    @property
    def out_scale(self) -> float:
        """Multiplies raw activations that are predicted."""
        return self.target.scale if self.target else self.scale

    def sides_of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What is read [..., d] and what is predicted [..., d_out], of rows of raw activations.

        Those of a transcoder hold both, one beside the other.

        Raises:
            ValueError: the rows are of another width.
        """
        width = self.d + (self.target.d if self.target else 0)
        if rows.shape[-1] != width:
            both = f" and d_out = {self.d_out} beside it" if self.target else ""
            raise ValueError(
                f"rows are {tuple(rows.shape)}; the autoencoder has d = {self.d}{both}"
            )
        return (rows[..., : self.d], rows[..., self.d :]) if self.target else (rows, rows)

    def initialise(self, mean: Tensor, seed: int, recipe: Recipe = DEFAULTS) -> None:
        """Set the initial weights; without a method of its own, those of ``__init__`` stay.

        Write through ``params``, which lie outside autograd.

        Args:
            mean: [d] mean of the normalised training activations.
            seed: Seed of the weights. Draw on the CPU, so that every device starts alike.
            recipe: The run's recipe; its defaults where there is none.
        """
        return

    def start_from(self, linear: LinearMap, recipe: Recipe) -> None:
        """Set what of a transcoder depends on its targets; after `initialise`.

        Args:
            linear: The best linear map from normalised x to normalised y.
            recipe: The run's recipe.
        """
        return

    def configure(self, recipe: Recipe) -> None:
        """Take from a recipe what `loss` needs beside the weights, for example a bandwidth.

        `load` calls it, with the recipe in the file, and so does ``initialise`` of this package's
        variants.
        """
        return

    def encode(self, x: Tensor) -> Tensor:
        """Code [..., H] of raw activations x [..., d], in the units of what is predicted.

        Latent i adds ``encode(x)[..., i] * W_dec[i]`` to the reconstruction.

        Raises:
            ValueError: x is of another width.
        """
        self._check_width(x, "d", self.d)
        x = x.to(self.W_dec.dtype)  # bfloat16 times the scale would lose what it has
        return self.code(x * self.scale) / self.out_scale

    def decode(self, z: Tensor) -> Tensor:
        """Reconstruction [..., d_out] of raw activations from a code of `encode`, without a skip,
        which reads x.

        Raises:
            ValueError: z is of another width.
        """
        self._check_width(z, "H", self.width)
        return self.reconstruct(z.to(self.W_dec.dtype) * self.out_scale) / self.out_scale

    def _check_width(self, x: Tensor, name: str, width: int) -> None:
        if x.ndim < 1 or x.shape[-1] != width:
            raise ValueError(f"a tensor {list(x.shape)} for {self.name}, whose {name} is {width}")

    @abstractmethod
    def code(self, x: Tensor) -> Tensor:
        """Code z [B, H] of normalised activations x [B, d], in the parameters' dtype."""

    @abstractmethod
    def reconstruct(self, z: Tensor) -> Tensor:
        """Reconstruction [B, d_out] of normalised activations from a code [B, H]."""

    def predict(self, x: Tensor, z: Tensor) -> Tensor:
        """What normalised activations x [B, d] and their code [B, H] predict, [B, d_out]."""
        return self.reconstruct(z)

    @abstractmethod
    def loss(self, x: Tensor, lam: float, y: Tensor | None = None) -> dict[str, Tensor]:
        """The terms whose sum is minimised, by name, each with its coefficient in it.

        A class that is never a transcoder may leave ``y`` out.

        Args:
            x: [B, d] normalised activations.
            lam: Sparsity coefficient of this step; of a k-sparse class, k of this step.
            y: [B, d_out] what a transcoder is to predict, normalised.

        Returns:
            Scalars, ``reconstruction`` = mean_B |x - x_hat|^2 among them.
        """

    def training_terms(
        self, x: Tensor, lam: float, y: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The terms of `loss` before their `weights`, and the code [B, H] that they come from.

        What the trainer calls. A class whose `loss` has the code at hand may return it here, and
        spares its encoder a second product; its logs then hold terms without coefficients.
        """
        terms = self.loss(x, lam) if y is None else self.loss(x, lam, y)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            return terms, self.code(x)

    def weights(self, lam: float) -> dict[str, float]:
        """Coefficients of the terms of `training_terms`, by name; 1 for those that are absent."""
        return {}

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction [..., d_out] from raw activations x [..., d], in raw units.

        It has the dtype of the parameters.

        Raises:
            ValueError: x is of another width.
        """
        self._check_width(x, "d", self.d)
        if self.target is None:
            return self.decode(self.encode(x))
        x = x.to(self.W_dec.dtype) * self.scale
        return self.predict(x, self.code(x)) / self.out_scale

    def constrain(self) -> None:
        """Return the parameters to their feasible set after an optimiser step; without autograd."""
        return

    def finish(self) -> None:
        """Bring trained parameters into the form in which they are used; after the last step."""
        return

    @property
    def unfinished(self) -> str:
        """The method to call before `save`, where weights are as training has them; or empty."""
        return ""

    def calibrate(self, batches: Iterator[Tensor]) -> dict[str, Any]:
        """Fit what is used after training alone, with all parameters fixed; see
        ``calibration_rows``.

        Args:
            batches: [B, d] normalised activations.

        Returns:
            What was found, as JSON values, for the record of the training. A text ``fault`` says
            what is wrong with it, if anything is.
        """
        return {}

    @property
    def latent_axes(self) -> dict[str, int]:
        """The axis of length H of each parameter of which a reset clears the optimiser's state.

        Empty for a class without `reset_latents`: nothing of it is reset, nor counted as reset.
        """
        return {}

    def reset_latents(self, silent: Tensor) -> None:
        """Reopen latents that have been silent for too long; see `latent_axes`.

        Args:
            silent: [H] bool.
        """
        return

    def code_of_latents(self, x: Tensor, latents: Tensor) -> Tensor:
        """The columns ``latents`` [k] of ``code(x)``, [B, k]."""
        return self.code(x)[..., latents]

    @property
    def params(self) -> dict[str, Tensor]:
        """The parameters by name, in their own memory but outside autograd."""
        return {name: value.detach() for name, value in self.named_parameters()}

    def parameter_count(self) -> int:
        """Trainable scalars."""
        return sum(value.numel() for value in self.parameters())

    def parameters_per_latent(self) -> int:
        """Trainable scalars of one latent: its share of each parameter with an axis of length H.

        Where d = H, a parameter [d] is counted too.
        """
        shared = (value for value in self.parameters() if self.width in value.shape)
        return sum(value.numel() for value in shared) // self.width

    def save(self, path: str | Path, provenance: dict[str, Any] | None = None) -> None:
        """Write one safetensors file, whole or not at all.

        Equal weights and provenance give equal bytes.

        Args:
            path: The file.
            provenance: Where the weights come from, as JSON values; kept in the file's header
                with the versions of torch and of this library. That of a loaded file stays.

        Raises:
            ValueError: the weights are not finished: a file of them would compute something else.
        """
        if self.unfinished:
            raise ValueError(
                f"{self.name} is as it is in training: call {self.unfinished} before save, as "
                "sagsae.train does at its end"
            )
        versions = {"sagsae": __version__, "torch": torch.__version__}
        header = {
            "variant": self.name,
            "d": self.d,
            "width": self.width,
            "scale": self.scale,
            **({"target": self.target._asdict()} if self.target else {}),
            "provenance": {"versions": versions, **self.provenance, **(provenance or {})},
        }
        tensors = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        content = save(tensors, metadata={"autoencoder": json.dumps(header, sort_keys=True)})
        write_atomic(Path(path), content)
