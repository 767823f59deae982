"""Protocols on data whose features are known, and their figures."""

TAU = 0.9
"""Cosine from which a pole counts as found by a latent."""
