"""Autoencoders between this library and others: SAELens's format, and folders of the Hugging Face
hub.
"""
