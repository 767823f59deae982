"""The latent browser: static pages that show the latents of some cells one by one."""
