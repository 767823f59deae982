"""What a trained autoencoder is worth: reconstruction, sparsity, signs, and the model's loss."""
