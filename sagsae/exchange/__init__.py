"""Autoencoders between this library and others: SAELens's format, and folders of the Hugging Face
hub. Free of torch.
"""

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
"""Files of a folder that SAELens loads."""
OWN_WEIGHTS = "sae.safetensors"
"""File of a folder that holds what ``Autoencoder.save`` writes."""
