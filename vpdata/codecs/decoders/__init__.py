"""Decoders: the bytes of an mp4 as the codecs `h264` and `av1` write it in, RGB frames out. One file a library.

`VPDATA_DECODER` names the one to use. Without it, it is the first of `NAMES` that knows the codec: they stand in the
order of their measured speed (`docs/CODECS.md`), and the first one, `pyav`, is part of every installation.
"""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import VpdataError

VARIABLE = "VPDATA_DECODER"
MODULES = {"pyav": "pyav", "torchcodec": "torchcodec", "decord": "decord", "torchcodec-cuda": "torchcodec"}
NAMES = tuple(MODULES)
HINT = "`vpdata decoders` shows them all."


class Decoder(Protocol):
    """A library that decodes; all agree within 2 grey levels."""

    name: str
    codecs: tuple[str, ...]
    """Names of the codecs whose members it decodes."""

    def version(self) -> str:
        """Imports the library. Raises VpdataError with the reason where it cannot be used on this machine."""
        ...

    def decode_into(self, data: bytes, indices: Sequence[int], out: NDArray[np.uint8], *, codec: str) -> None:
        """See `vpdata.codecs.Codec.decode_into`; `codec` is one of `codecs`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderReport:
    """Whether a decoder can be used on this machine: its `version` if so, or else the `reason`; the other is empty."""

    name: str
    codecs: tuple[str, ...]
    version: str
    available: bool
    reason: str


def select(name: str | None = None, *, codec: str = "h264") -> Decoder:
    """The decoder of that name, or the one that `VPDATA_DECODER` names, or the fastest.

    Raises:
        VpdataError: there is no such decoder, it cannot be used on this machine, or does not know the codec.
    """
    name = name or os.environ.get(VARIABLE) or next(n for n in NAMES if codec in _load(n).codecs)
    decoder = _ready(name)
    if codec not in decoder.codecs:
        raise VpdataError(f"the decoder {name!r} does not decode {codec}.", hint=HINT)
    return decoder


def available() -> tuple[DecoderReport, ...]:
    """Every decoder, tried out; imports whatever of their libraries is installed."""
    return tuple(_report(name) for name in NAMES)


def _report(name: str) -> DecoderReport:
    decoder = _load(name)
    try:
        version, reason = decoder.version(), ""
    except VpdataError as error:
        version, reason = "", error.what
    return DecoderReport(name=name, codecs=decoder.codecs, version=version, available=not reason, reason=reason)


@cache
def _ready(name: str) -> Decoder:
    if name not in NAMES:
        raise VpdataError(f"there is no decoder {name!r}.", hint=f"Choose one of {', '.join(NAMES)}.")
    decoder = _load(name)
    try:
        decoder.version()
    except VpdataError as error:
        raise VpdataError(f"the decoder {name!r} cannot be used: {error.what}", hint=error.hint) from error
    return decoder


def _load(name: str) -> Decoder:
    module = importlib.import_module(f"vpdata.codecs.decoders.{MODULES[name]}")
    return cast(dict[str, Decoder], module.DECODERS)[name]
