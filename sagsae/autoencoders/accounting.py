"""What a dictionary costs, and how many two-sided latents pay for a sign-aware one.

A latent costs its encoder row, its decoder row and the variant's per-latent vectors: ``2d + v``
scalars, so that a dictionary of H latents has ``(2d + v) H + d`` (v is 3 for ``gated`` and
``sagsae_tied``, 5 for ``sagsae_sym``, 6 for ``sagsae``).
"""

from __future__ import annotations

from sagsae.autoencoders.registry import variant

ONE_SIDED = "gated"
"""What two-sided variants are compared with."""


def parameters_per_latent(name: str, d: int) -> int:
    """Trainable scalars of one latent of a variant, activations of width d.

    Raises:
        KeyError: unknown variant.
    """
    return 2 * d + len(variant(name).vectors)


def parameters(name: str, d: int, width: int) -> int:
    """Trainable scalars of a whole autoencoder of ``width`` latents; ``b_dec`` has d of them.

    Raises:
        KeyError: unknown variant.
    """
    return parameters_per_latent(name, d) * width + d


def break_even_share(name: str, d: int) -> float | None:
    """Share of latents that must serve both signs for the variant to cost no more than Gated.

    H two-sided latents, a share q of which serves both signs, hold as much as (1 + q) H gated
    ones, so they break even at ``q* = (2d + v) / (2d + 3) - 1`` (this project's account of the
    paper's claim that sign-awareness pays even where opposite pairs are rare). 0 where a two-sided
    latent costs no more than a gated one.

    Returns:
        q*, or None for variants with one side.

    Raises:
        KeyError: unknown variant.
    """
    if not variant(name).two_sided:
        return None
    return parameters_per_latent(name, d) / parameters_per_latent(ONE_SIDED, d) - 1
