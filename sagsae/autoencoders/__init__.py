"""Sparse autoencoder variants, one family a file, looked up by name through ``registry``."""
