"""Contexts of one forward pass of a language model, by where it runs: no number depends on them."""

# Of a dump; the fastest on a CPU, see docs/performance.md.
DUMPED = {"cpu": 8, "cuda": 32}
# Of passes whose logits are kept: with reconstructions spliced in, and the model's own losses.
SPLICED = {"cpu": 4, "cuda": 8}
# Of steering, each under an intervention of its own.
STEERED = {"cpu": 16, "cuda": 32}
# Loss Recovered is flagged as noise where CE_zero - CE_clean (nats) is below this.
LR_NOISE_GAP = 0.1
