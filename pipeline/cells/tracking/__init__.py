"""Training curves in W&B, TensorBoard and MLflow while cells train."""
