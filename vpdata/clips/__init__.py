"""Clips: which frames of an episode are stored together, at what size, and as which bytes."""
