"""Data whose features are known, and what autoencoders find of them."""

# Cosine from which a pole counts as found by a latent.
TAU = 0.9
