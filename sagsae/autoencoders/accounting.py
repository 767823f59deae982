"""What a dictionary costs, and how many two-sided latents pay for a sign-aware one.

A gated latent costs its encoder row, its decoder row and the variant's per-latent vectors:
``2d + v`` scalars, so that a dictionary of H latents has ``(2d + v) H + d`` (v is 3 for ``gated``
and ``sagsae_tied``, 5 for ``sagsae_sym``, 6 for ``sagsae``).
"""

from __future__ import annotations


def break_even_share(name: str, d: int) -> float | None:
    """Share of latents that must serve both signs for the variant to cost no more than Gated.

    H two-sided latents, a share q of which serves both signs, hold as much as (1 + q) H gated
    ones, so they break even at ``q* = (2d + v) / (2d + 3) - 1`` (this project's account of the
    paper's claim that sign-awareness pays even where opposite pairs are rare). 0 where a two-sided
    latent costs no more than a gated one.

    Returns:
        q*, or None for variants with one side, and for those that are not gated.

    Raises:
        KeyError, ImportError, TypeError: see `class_of`.
    """
    from sagsae.autoencoders.gate import GatedAutoencoder  # and torch
    from sagsae.autoencoders.gated import Gated
    from sagsae.autoencoders.weights import class_of

    kind = class_of(name)
    if not issubclass(kind, GatedAutoencoder) or not kind.two_sided:
        return None
    return max(0.0, (2 * d + len(kind.vectors)) / (2 * d + len(Gated.vectors)) - 1)
