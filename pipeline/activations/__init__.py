"""Activation stores of language models, and the models' own losses."""
