"""The workflow: one module per stage, each runnable as ``python -m pipeline.<stage>``."""
