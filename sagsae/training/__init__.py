"""Training: the recipe, one step with its gradients, the loop, checkpoints."""
