"""Autoencoders between this library and others: SAELens's format, and folders of the Hugging Face
hub. Free of torch.
"""

# Files of a folder that SAELens loads.
CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
# Library -> the files of an autoencoder that it has written, the configuration first.
FORMATS = {
    "saelens": (CONFIG, WEIGHTS),
    "dictionary_learning": ("config.json", "ae.pt"),
    "gemma_scope_2": ("config.json", "params.safetensors"),
}
# File of a folder that holds what ``Autoencoder.save`` writes.
OWN_WEIGHTS = "sae.safetensors"
