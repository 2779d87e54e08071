"""Integers from a few names and numbers: the only source of chance in a mixture."""

import hashlib


def keyed_integer(*parts: int | str) -> int:
    """A uniform integer in [0, 2**128) that depends on every part, the same on every machine and Python version."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = f"{type(part).__name__}:{part}".encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return int.from_bytes(digest.digest(), "big")
