"""Training objectives: clean latents and actions in, a loss out."""
