"""Sign-aware and other gated sparse autoencoders on cached language-model activations."""

__version__ = "0.1.0"
