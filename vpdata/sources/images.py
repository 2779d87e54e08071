"""Image sequences: a folder of numbered PNG or JPEG files, action-free.

Enters: a folder, or a tree of them, where every folder with images holds one sequence, and the rate it was taken at.
Leaves: one episode a folder, in the order of the numbers, upright by the images' EXIF orientation. Nothing is decoded
to describe it; each image is decoded when its frame is asked for.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vpdata.errors import SourceError, VpdataError
from vpdata.schema import Camera, Episode
from vpdata.sources import EpisodeReader, SourceFile, SourceOptions
from vpdata.sources.files import (
    content_digest,
    find_files,
    natural_key,
    refuse_filter_key,
    refuse_resampling,
)

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg"})
FORMATS = ("PNG", "JPEG")
RECORDED_NAME = "main"
MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")
_EXIF_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})
_PNG_EXIF = (b"eXIf", b"Raw profile type")
_PNG_DEPTH = 24  # byte of a PNG's header that says the bits of a sample

Images = NDArray[np.uint8]


class ImageSequences:
    """The `images` source."""

    name = "images"

    def find(self, path: Path) -> Sequence[SourceFile]:
        """The folders at or below `path` that hold images, in natural order. Raises SourceError where none does."""
        if path.is_file():
            raise SourceError("this is a file.", path=path, hint="Give the folder of the images.")
        folders = {}
        for file in find_files(path, extensions=EXTENSIONS, kind="image"):
            name = Path(file.name).parent.as_posix()
            folder = file.path.parent
            folders[folder] = SourceFile(path=folder, name=folder.absolute().name if name == "." else name)
        return tuple(sorted(folders.values(), key=lambda folder: natural_key(folder.name)))

    def episodes(self, file: SourceFile, options: SourceOptions) -> Iterator[Episode | VpdataError]:
        """The one episode of a folder.

        Raises:
            SourceError: no rate is given, the folder holds more than one sequence or one with gaps, or images that
                differ in size or cannot be read as RGB of 8 bits.
        """
        path = file.path
        refuse_filter_key(options, path=path)
        refuse_resampling(options, path=path)
        if options.fps is None:
            raise SourceError("images do not say their rate.", path=path, hint="Say it with --fps.")
        images = sequence(path)
        looks = [_look(image) for image in images]
        sizes: dict[tuple[int, int], str] = {}
        for look in looks:
            sizes.setdefault(look.size, look.name)
        if len(sizes) > 1:
            listed = ", ".join(f"{width}x{height} from {name} on" for (width, height), name in sizes.items())
            what = f"the images have {len(sizes)} sizes (width x height): {listed}."
            raise SourceError(what, path=path, hint="Give each size a folder of its own.")
        width, height = looks[0].size
        camera = Camera(name=_camera_name(options, path), recorded_name=RECORDED_NAME, height=height, width=width)
        digests = json.dumps([[look.name, look.sha256] for look in looks])
        yield Episode(
            source=self.name,
            file=file.name,
            episode_id=path.absolute().name,
            content_digest=content_digest(
                hashlib.sha256(digests.encode()).hexdigest(),
                source=self.name,
                episode_id="",
                cameras=(camera,),
                fps=options.fps,
                options=options,
            ),
            num_frames=len(images),
            num_actions=0,
            fps=options.fps,
            cameras=(camera,),
            instructions=(options.instruction,) if options.instruction else (),
        )

    @contextmanager
    def open(self, file: SourceFile, episode: Episode, options: SourceOptions) -> Iterator[EpisodeReader]:  # noqa: ARG002
        """Opens the episode that `episodes` described."""
        yield ImageReader(images=sequence(file.path), camera=episode.cameras[0])


SOURCE = ImageSequences()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReader:
    """An `EpisodeReader` over image files."""

    images: tuple[Path, ...]
    camera: Camera

    @property
    def actions(self) -> None:
        """There are none."""
        return

    @property
    def state(self) -> None:
        """There is none."""
        return

    def frames(self, camera: str, start: int, stop: int) -> Iterator[Images]:
        """Yields RGB `HWC` frames [start, stop). Raises SourceError for an image that is damaged or has changed."""
        if camera != self.camera.name:
            raise KeyError(camera)
        if not 0 <= start <= stop <= len(self.images):
            raise IndexError(f"frames [{start}, {stop}) of {len(self.images)}")
        for path in self.images[start:stop]:
            frame = read_image(path)
            if frame.shape[:2] != (self.camera.height, self.camera.width):
                raise SourceError(f"the image is {frame.shape[:2]} now: it has changed.", path=path)
            yield frame


def sequence(folder: Path) -> tuple[Path, ...]:
    """The images of a folder in the order of their numbers.

    Raises:
        SourceError: a name has no number, names differ in more than that, or a number is missing or comes twice.
    """
    names = [entry.name for entry in folder.iterdir() if entry.suffix.lower() in EXTENSIONS and entry.name[0] != "."]
    kinds: dict[tuple[str, str], str] = {}
    numbers: dict[int, str] = {}
    for name in sorted(names, key=natural_key):
        found = _NUMBERED.fullmatch(name.removesuffix(Path(name).suffix))
        if found is None:
            raise SourceError("the name has no number.", path=folder / name, hint="Number the images, or remove it.")
        before, digits, after = found.groups()
        first = kinds.setdefault((before, after + Path(name).suffix.lower()), name)
        if len(kinds) > 1:
            what = f"{next(iter(kinds.values()))} and {first} are not of one sequence: more than a number differs."
            raise SourceError(what, path=folder, hint="Give each sequence a folder of its own.")
        if int(digits) in numbers:
            what = f"{numbers[int(digits)]} and {name} have the same number."
            raise SourceError(what, path=folder, hint="Remove one of them.")
        numbers[int(digits)] = name
    missing = [
        (before + 1, after - 1) for before, after in zip(numbers, list(numbers)[1:], strict=False) if after > before + 1
    ]
    if missing:
        listed = ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in missing)
        count = sum(last - first + 1 for first, last in missing)
        what = f"of the numbers {min(numbers)} to {max(numbers)}, {count} are missing: {listed}."
        raise SourceError(what, path=folder, hint="Number the images without gaps, or give each part a folder.")
    return tuple(folder / name for name in numbers.values())


def read_image(path: Path) -> Images:
    """One image as RGB (H, W, 3), upright; grey is repeated. Raises SourceError where it is damaged or not opaque."""
    data = path.read_bytes()
    image = _opened(path, data)
    try:
        _opened(path, data).verify()  # the CRC-32 of a PNG's pixels, which decoding does not look at
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("LA", "RGBA") or "transparency" in upright.info:
            upright = upright.convert("RGBA")
            if np.asarray(upright.getchannel("A")).min() < 255:
                what = "the image has pixels that are not opaque, and so no certain colour."
                raise SourceError(what, path=path, hint="Save it without transparency.")
        return np.asarray(upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise SourceError(f"the image is damaged ({error}).", path=path, hint="Copy it again.") from error


def _opened(path: Path, data: bytes) -> Image.Image:
    """A PNG or JPEG of 8 bits, not decoded yet. Raises SourceError for any other."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except OSError as error:
        raise SourceError("this is no PNG or JPEG.", path=path, hint="Check the file.") from error
    if image.mode not in MODES or (image.format == "PNG" and data[_PNG_DEPTH] > 8):
        bits = f"{data[_PNG_DEPTH]} bits" if image.format == "PNG" else f"mode {image.mode}"
        what = f"the image has {bits} a sample, not 8 bits of grey or RGB."
        raise SourceError(what, path=path, hint="Save it as RGB of 8 bits; depth is no camera.")
    return image


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """An image without its pixels: name, width and height as shown, SHA-256 of the file."""

    name: str
    size: tuple[int, int]
    sha256: str


def _look(path: Path) -> _Look:
    data = path.read_bytes()
    image = _opened(path, data)
    width, height = image.size
    if image.format == "JPEG" or any(mark in data for mark in _PNG_EXIF):  # a PNG is decoded to find it
        try:
            turned = image.getexif().get(_EXIF_ORIENTATION) in _TURNED
        except (OSError, SyntaxError, ValueError) as error:
            raise SourceError(f"the image is damaged ({error}).", path=path, hint="Copy it again.") from error
        width, height = (height, width) if turned else (width, height)
    return _Look(name=path.name, size=(width, height), sha256=hashlib.sha256(data).hexdigest())


def _camera_name(options: SourceOptions, path: Path) -> str:
    if not options.cameras:
        return RECORDED_NAME
    if list(options.cameras.values()) != [RECORDED_NAME]:
        what = f"a sequence of images has one camera, {RECORDED_NAME!r}."
        raise SourceError(what, path=path, hint=f"Rename it with --camera NAME={RECORDED_NAME}.")
    return next(iter(options.cameras))
