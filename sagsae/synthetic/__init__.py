"""Data whose features are known, and what autoencoders find of them."""

TAU = 0.9
"""Cosine from which a pole counts as found by a latent."""
