"""Images in ROS messages.

Enters: a deserialised `sensor_msgs/Image` or `sensor_msgs/CompressedImage`. Leaves: an RGB frame, or a SourceError.

Colour of compressed images is as image_transport's subscriber takes it: `format` is "SOURCE; CODEC compressed TARGET",
or only the codec. The publisher turns colour images to bgr8 before OpenCV encodes them, which gives an ordinary JPEG;
where the target is not bgr, red and blue are swapped inside.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vpdata.errors import SourceError

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (RAW, COMPRESSED)
CHANNELS = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2], "bgra8": [2, 1, 0], "mono8": [0, 0, 0]}
NUM_BYTES = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
CODECS = ["JPEG", "PNG"]
MODES = ("L", "RGB", "RGBA")

Images = NDArray[np.uint8]


def to_rgb(message: Any, kind: str, *, path: Path, where: str) -> Images:
    """One frame, RGB `HWC`; alpha is left out, grey is repeated.

    Args:
        message: as rosbags deserialises it.
        kind: one of `IMAGE_TYPES`.
        path, where: of the bag, and of the message in it, for errors.

    Raises:
        SourceError: the encoding is none of `CHANNELS`, the codec none of `CODECS`, or the bytes are not such an image.
    """
    return _raw(message, path=path, where=where) if kind == RAW else _compressed(message, path=path, where=where)


def _raw(message: Any, *, path: Path, where: str) -> Images:
    encoding, height, width, step = message.encoding, message.height, message.width, message.step
    if encoding not in CHANNELS:
        what = f"images are {encoding!r}, not {', '.join(CHANNELS)}."
        raise SourceError(
            what, path=path, episode=where, hint="Leave this camera out, or record it in another encoding."
        )
    row = width * NUM_BYTES[encoding]
    if 0 in (height, width) or step < row or len(message.data) != height * step:
        what = f"{len(message.data)} bytes are no {height}x{width} image of {encoding} with rows of {step} bytes."
        raise SourceError(what, path=path, episode=where)
    pixels = np.asarray(message.data, np.uint8).reshape(height, step)[:, :row].reshape(height, width, -1)
    return np.ascontiguousarray(pixels[..., CHANNELS[encoding]])


def _compressed(message: Any, *, path: Path, where: str) -> Images:
    source, separator, target = message.format.partition(";")
    if "compressedDepth" in message.format:
        what = f"the images are depth ({message.format!r})."
        raise SourceError(what, path=path, episode=where, hint="Choose a topic with colour or grey images.")
    data = bytes(message.data)
    try:
        with Image.open(io.BytesIO(data), formats=CODECS) as image:
            image.verify()  # the CRC-32 of a PNG's pixels, which decoding does not look at
        with Image.open(io.BytesIO(data), formats=CODECS) as image:
            if image.mode not in MODES:
                what = f"the image has the mode {image.mode!r}, not 8-bit grey or colour."
                raise SourceError(what, path=path, episode=where, hint="Choose a topic with colour or grey images.")
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three on damaged files
        what = f"the image ({message.format!r}) does not decode as {' or '.join(CODECS)} ({error})."
        raise SourceError(what, path=path, episode=where) from error
    is_swapped = bool(separator) and source.startswith(("rgb", "bgr")) and "compressed bgr" not in target
    return np.ascontiguousarray(pixels[..., ::-1] if is_swapped else pixels)
