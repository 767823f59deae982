"""What the two signs of latents hold: opposite pairs, poles, agreement of seeds."""
