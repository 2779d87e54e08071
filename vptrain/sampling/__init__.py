"""Samplers: a denoiser and noise in, clean video and actions out."""
