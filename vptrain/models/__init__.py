"""The networks: video UNet, autoencoder, text encoder, vision encoder and action head, built from one configuration.

Shape suffixes: B windows, T = 1 + cameras · frames, V cameras, F frames a camera, C channels, H W cells, A horizon,
D action dimensions, E embedding.
"""
