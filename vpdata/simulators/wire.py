"""Messages between us and a simulator's process: a JSON header and named arrays, never a pickle.

Enters: a header and arrays, or a stream of bytes. Leaves: the other. Each message is preceded by its length.
"""

import io
import json
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vpdata.simulators import Observation

LENGTH = struct.Struct("<Q")
HEADER, FRAMES = "header", "frames_"

Message = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def write(stream: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes one message."""
    buffer = io.BytesIO()
    encoded = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(buffer, allow_pickle=False, **{HEADER: encoded}, **arrays)
    stream.write(LENGTH.pack(buffer.tell()))
    stream.write(buffer.getbuffer())
    stream.flush()


def read(stream: IO[bytes]) -> Message | None:
    """The next message, None where the other side has ended."""
    prefix = stream.read(LENGTH.size)
    if len(prefix) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(prefix)
    body = stream.read(length)
    if len(body) < length:
        return None
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(arrays.pop(HEADER).tobytes()), arrays


def pack_observation(seen: Observation) -> Message:
    """An observation as the header and the arrays of a message."""
    frames = {FRAMES + name: frame for name, frame in seen.frames.items()}
    return {"success": seen.success}, {"state": seen.state, **frames}


def unpack_observation(message: Message) -> Observation:
    """The inverse of `pack_observation`."""
    header, arrays = message
    frames = {name.removeprefix(FRAMES): array for name, array in arrays.items() if name.startswith(FRAMES)}
    return Observation(frames=frames, state=arrays["state"], success=header["success"])
