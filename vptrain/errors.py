"""The errors that users of `vptrain` see; rendered like those of `vpdata`."""

from vpdata.errors import VpdataError


class VptrainError(VpdataError):
    """A run, checkpoint or configuration cannot be used as asked."""
