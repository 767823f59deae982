"""A study: its cells, its stages' specifications, every path under ``results/``."""
