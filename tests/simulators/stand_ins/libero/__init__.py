"""Stands in for hf-libero where it is not installed."""
