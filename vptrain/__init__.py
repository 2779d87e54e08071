"""vptrain: train a video model on clips, an action head on its features, and use both as a robot policy."""

__version__ = "0.1.0"
