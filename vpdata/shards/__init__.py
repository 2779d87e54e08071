"""Shards: clips in deterministic tar files, their index and manifest, and a reader that checks every byte."""
