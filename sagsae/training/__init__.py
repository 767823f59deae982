"""Training: recipe and schedules, one step with its gradients, the loop, checkpoints."""
