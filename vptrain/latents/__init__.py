"""Latents made in advance: data sets in; data sets of what the autoencoder makes of their frames out, for training."""
