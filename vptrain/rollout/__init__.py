"""From a trained policy to behaviour: sampling windows, predicting held-out clips."""
