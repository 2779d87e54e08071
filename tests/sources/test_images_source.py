"""Image sequences: the frames as they were saved, and everything that is no such sequence refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from reading import describe, episodes, read

from vpdata import sources
from vpdata.errors import SourceError
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions

RATE = SourceOptions(fps=5)
Frames = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def frames(recordings: Path) -> Frames:
    """The first 12 frames of a real video, 128 x 128."""
    with av.open(str(recordings / "video" / "libero_object_soup_000.mp4")) as container:
        return [
            frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(12), strict=False)
        ]


def save(folder: Path, frames: Frames, *, name: str = "frame_{}.png", first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, first):
        Image.fromarray(frame).save(folder / name.format(number))
    return folder


@pytest.mark.parametrize("name", ["frame_{}.png", "{}.PNG", "cam2_{}_rgb.png", "{:06d}.png"])
def test_frames_come_back_in_the_order_of_their_numbers(frames: Frames, tmp_path: Path, name: str) -> None:
    folder = save(tmp_path / "take", frames, name=name, first=3)
    (folder / "notes.txt").write_text("no image")
    (episode,) = episodes("images", folder, RATE)
    assert (episode.file, episode.episode_id, episode.num_frames, episode.fps) == ("take", "take", 12, 5.0)
    assert (episode.num_actions, episode.cameras[0].name) == (0, "main")
    read_back, actions, state = read("images", folder, episode, RATE)
    np.testing.assert_array_equal(read_back["main"], np.stack(frames))
    assert (actions, state) == (None, None)


def test_jpeg(frames: Frames, tmp_path: Path) -> None:
    folder = save(tmp_path / "take", frames, name="{}.jpg")
    (episode,) = episodes("images", folder, RATE)
    difference = read("images", folder, episode, RATE)[0]["main"].astype(int) - np.stack(frames)
    assert np.abs(difference).mean() < 3


def test_a_tree_of_folders_becomes_a_data_set(frames: Frames, tmp_path: Path) -> None:
    save(tmp_path / "src" / "take_2" / "front", frames[:4])
    save(tmp_path / "src" / "take_10" / "front", frames[4:])
    save(tmp_path / "src" / ".trash", frames)
    options = SourceOptions(fps=10, cameras={"front": "main"}, instruction="pick up the soup")
    with pytest.raises(SourceError, match=r"take_2/front: images do not say their rate\. Say it with --fps"):
        ingest("images", [tmp_path / "src"], tmp_path / "out", IngestOptions())
    ingest("images", [tmp_path / "src"], tmp_path / "out", IngestOptions(source=options), workers=1)
    clips = list(Dataset.open(tmp_path / "out").clips)
    assert [(clip.episode.file, clip.num_frames) for clip in clips] == [("take_2/front", 4), ("take_10/front", 8)]
    assert clips[0].episode.instructions == ("pick up the soup",)
    assert clips[0].episode.cameras[0].name == "front"
    only = sources.load("images").find(tmp_path / "src" / "take_*0" / "front")
    assert [file.name for file in only] == ["take_10/front"]


def test_the_digest_names_the_images_and_the_rate(frames: Frames, tmp_path: Path) -> None:
    here = save(tmp_path / "a", frames)
    digest = episodes("images", here, RATE)[0].content_digest
    there = Path(shutil.copytree(here, tmp_path / "b"))
    assert episodes("images", there, RATE)[0].content_digest == digest
    assert episodes("images", here, SourceOptions(fps=6))[0].content_digest != digest
    save(there, [255 - frames[0]], first=11)
    assert episodes("images", there, RATE)[0].content_digest != digest


def test_gaps_are_reported(frames: Frames, tmp_path: Path) -> None:
    folder = save(tmp_path / "take", frames)
    for number in (2, 5, 6, 7):
        (folder / f"frame_{number}.png").unlink()
    with pytest.raises(SourceError, match=r"take: of the numbers 0 to 11, 4 are missing: 2, 5 to 7\."):
        describe("images", folder, RATE)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("right_0.png", "frame_0.png and right_0.png are not of one sequence"),
        ("frame_12.jpg", "frame_0.png and frame_12.jpg are not of one sequence"),
        ("frame_003.png", "have the same number"),
        ("cover.png", "cover.png: the name has no number"),
    ],
)
def test_names_that_are_not_of_one_sequence(frames: Frames, tmp_path: Path, other: str, message: str) -> None:
    folder = save(tmp_path / "take", frames)
    Image.fromarray(frames[0]).save(folder / other)
    with pytest.raises(SourceError, match=message):
        describe("images", folder, RATE)


def test_sizes_must_agree(frames: Frames, tmp_path: Path) -> None:
    folder = save(tmp_path / "take", [*frames[:3], frames[3][:64], *frames[4:]])
    message = r"2 sizes \(width x height\): 128x128 from frame_0.png on, 128x64 from frame_3.png on"
    with pytest.raises(SourceError, match=message):
        describe("images", folder, RATE)


def grey(frame: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(frame).convert("L")


def opaque(frame: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(frame).convert("RGBA")


def palette(frame: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(frame).quantize(256)


@pytest.mark.parametrize("convert", [grey, opaque, palette])
def test_grey_opaque_and_palette_images_are_read(
    frames: Frames, tmp_path: Path, convert: Callable[[NDArray[np.uint8]], Image.Image]
) -> None:
    folder = tmp_path / "take"
    folder.mkdir()
    images = [convert(frame) for frame in frames]
    for number, image in enumerate(images):
        image.save(folder / f"{number}.png")
    (episode,) = episodes("images", folder, RATE)
    expected = np.stack([np.asarray(image.convert("RGB")) for image in images])
    np.testing.assert_array_equal(read("images", folder, episode, RATE)[0]["main"], expected)


def test_transparent_pixels_are_refused(frames: Frames, tmp_path: Path) -> None:
    folder = save(tmp_path / "take", frames)
    image = opaque(frames[5])
    image.putpixel((3, 4), (1, 2, 3, 254))
    image.save(folder / "frame_5.png")
    (episode,) = episodes("images", folder, RATE)
    with pytest.raises(SourceError, match=r"frame_5.png: the image has pixels that are not opaque"):
        read("images", folder, episode, RATE)


def test_sixteen_bits_are_refused(frames: Frames, tmp_path: Path) -> None:
    depth = save(tmp_path / "depth", frames)
    Image.fromarray(frames[0][..., 0].astype(np.uint16) * 257).save(depth / "frame_0.png")
    with pytest.raises(SourceError, match=r"frame_0.png: the image has 16 bits a sample, not 8"):
        describe("images", depth, RATE)
    colour = save(tmp_path / "colour", frames)
    with av.open(str(colour / "frame_0.png"), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "rgb48be"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frames[0], format="rgb24").reformat(format="rgb48be")))
        container.mux(stream.encode(None))
    assert Image.open(colour / "frame_0.png").mode == "RGB"  # Pillow alone would drop the lower bits and say nothing
    with pytest.raises(SourceError, match="16 bits a sample"):
        describe("images", colour, RATE)
    (colour / "frame_0.png").unlink()
    Image.fromarray(frames[0]).convert("CMYK").save(colour / "frame_0.png", "JPEG")
    with pytest.raises(SourceError, match="mode CMYK"):
        describe("images", colour, RATE)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(frames: Frames, tmp_path: Path, orientation: int, suffix: str) -> None:
    folder, stored = tmp_path / "take", np.ascontiguousarray(frames[0][:96])  # 96 rows, 128 columns
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number in range(2):
        Image.fromarray(stored).save(folder / f"{number}.{suffix}", exif=exif)
    shown = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: np.rot90(stored, -1),
        7: stored.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(stored),
    }[orientation]
    (episode,) = episodes("images", folder, RATE)
    assert (episode.cameras[0].height, episode.cameras[0].width) == shown.shape[:2]
    frame = read("images", folder, episode, RATE)[0]["main"][1]
    assert np.abs(frame.astype(int) - shown).mean() < (3 if suffix == "jpg" else 1e-9)


def test_damaged_images_are_named(frames: Frames, tmp_path: Path) -> None:
    folder = save(tmp_path / "take", frames)
    data = (folder / "frame_7.png").read_bytes()
    (folder / "frame_7.png").write_bytes(data[: len(data) // 2])
    (episode,) = episodes("images", folder, RATE)
    with pytest.raises(SourceError, match=r"frame_7.png: the image is damaged"):
        read("images", folder, episode, RATE)
    for content in (b"", b"no image at all"):
        (folder / "frame_7.png").write_bytes(content)
        with pytest.raises(SourceError, match=r"frame_7.png: this is no PNG or JPEG"):
            describe("images", folder, RATE)


def test_what_does_not_go_with_images(frames: Frames, tmp_path: Path) -> None:
    folder = save(tmp_path / "take", frames)
    with pytest.raises(SourceError, match=r"frame_0.png: this is a file"):
        describe("images", folder / "frame_0.png", RATE)
    with pytest.raises(SourceError, match="no image in this folder"):
        describe("images", save(tmp_path / "empty", []), RATE)
    with pytest.raises(SourceError, match="has one camera, 'main'"):
        describe("images", folder, SourceOptions(fps=5, cameras={"front": "left"}))
    with pytest.raises(SourceError, match="no lists of demos"):
        describe("images", folder, SourceOptions(fps=5, filter_key="train"))
