"""Training: a mixture, a model and a run configuration in; metrics and checkpoints out."""
