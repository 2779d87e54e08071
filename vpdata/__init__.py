"""vpdata: robot recordings in, sharded multi-camera video clips out. Importing this package imports nothing else."""

__version__ = "0.1.0"
