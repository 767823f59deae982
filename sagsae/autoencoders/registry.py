"""Names of the variants and where each is implemented. Importing this module is free of torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagsae.autoencoders.base import Autoencoder

VARIANTS: dict[str, str] = {
    "gated": "gated:Gated",
    "sagsae": "sign_aware:FreeSignAware",
    "sagsae_noaux": "sign_aware:NoAuxiliarySignAware",
    "sagsae_onesided": "sign_aware:OneSidedSignAware",
    "sagsae_sym": "sign_aware:SymmetricSignAware",
    "sagsae_tied": "sign_aware:TiedSignAware",
}
"""Variant name -> ``module:class`` inside ``sagsae.autoencoders``. A new variant adds one line."""


def variant(name: str) -> type[Autoencoder]:
    """The class of a variant.

    Raises:
        KeyError: the name is not registered; the message lists those that are.
    """
    if name not in VARIANTS:
        raise KeyError(f"unknown variant {name!r}: registered are {', '.join(sorted(VARIANTS))}")
    module, cls = VARIANTS[name].split(":")
    return getattr(import_module(f"sagsae.autoencoders.{module}"), cls)


VARIANT_LABELS = {
    "gated": "Gated",
    "sagsae": "SA-GSAE",
    "sagsae_sym": "SA-GSAE symmetric",
    "sagsae_tied": "SA-GSAE tied",
    "sagsae_noaux": "SA-GSAE without auxiliary loss",
    "sagsae_onesided": "SA-GSAE one-sided",
    "abstopk": "AbsTopK",
    "topk": "TopK",
    "batchtopk": "BatchTopK",
    "jumprelu": "JumpReLU",
    "matryoshka_batchtopk": "Matryoshka BatchTopK",
    "relu": "ReLU",
}
