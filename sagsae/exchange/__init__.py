"""Autoencoders between this library and others: SAELens's format, and folders of the Hugging Face
hub. Free of torch.
"""

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
"""Files of a folder that SAELens loads."""
FORMATS = {"saelens": (CONFIG, WEIGHTS), "dictionary_learning": ("config.json", "ae.pt")}
"""Library -> the files of an autoencoder that it has written, the configuration first."""
OWN_WEIGHTS = "sae.safetensors"
"""File of a folder that holds what ``Autoencoder.save`` writes."""
