"""A data set enters; a PNG contact sheet of some clips and an mp4 of the same, with their actions below, leave."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vpdata import spaces
from vpdata.errors import VpdataError
from vpdata.schema import Camera, Clip
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import full_disk_as_error

BACKGROUND, INK, FAINT, ACCENT = "#14161b", "#f2f3f5", "#9aa1ad", "#ff9f1c"
LINE_COLORS = ("#4cc9f0", "#f72585", "#b8f35d", "#ffd166", "#c77dff", "#80ffdb")
GAP, HEAD, LABEL = 8, 48, 20
"""Pixels between tiles, of a clip's two title lines, and of one line of small text."""
SHEET_WIDTH, SHEET_COLUMNS, MAX_TILE_HEIGHT = 1600, 5, 240
VIDEO_WIDTH, MAX_CAMERA_HEIGHT = 960, 320
PLOT_LEFT, PLOT_RIGHT = 150, 130
"""Pixels beside a plot, for the names of its rows and their ranges."""
CHUNK = 32
"""Frames that are decoded at a time."""
TIME_BASE = Fraction(1, 90_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What was written: the two files, the keys of the clips they show, and the video's length in seconds."""

    contact: Path
    video: Path
    keys: tuple[str, ...]
    seconds: float


def preview(path: Path, out: Path, *, num_clips: int, seed: int) -> Preview:
    """Draws `out/contact.png` and `out/preview.mp4` of clips chosen evenly over the data set.

    Args:
        path: the data set's folder.
        out: the folder to write to; it is made where needed, the two files are replaced.
        num_clips: how many clips to show; all, where the data set has fewer.
        seed: another seed shows others.

    Raises:
        ShardError: there is no such data set, or it is damaged.
        VpdataError: it is empty; OUT is a file, the disk is full, or nothing may be written there.
    """
    dataset = Dataset.open(path)
    count = min(num_clips, len(dataset.clips))
    if count < 1:
        raise VpdataError(f"nothing to show: {len(dataset.clips)} clips, {num_clips} asked for.", path=path)
    phase = random.Random(seed).random()
    clips = [dataset.clips[int((i + phase) * len(dataset.clips) / count)] for i in range(count)]
    contact, video = out / "contact.png", out / "preview.mp4"
    sheet = draw_contact_sheet(dataset, clips)
    with full_disk_as_error(out):
        out.mkdir(parents=True, exist_ok=True)
        sheet.save(contact)
        seconds = write_video(dataset, clips, video)
    return Preview(contact=contact, video=video, keys=tuple(clip.key for clip in clips), seconds=seconds)


def draw_contact_sheet(dataset: Dataset, clips: Sequence[Clip]) -> Image.Image:
    """One row a clip, from its first frame (left) to its last, all cameras of a moment side by side."""
    cell_width = (SHEET_WIDTH - GAP) // SHEET_COLUMNS - GAP
    rows = [_tile_sizes(clip.episode.cameras, width=cell_width, max_height=MAX_TILE_HEIGHT) for clip in clips]
    heights = [HEAD + 2 * LABEL + max(height for _, height in sizes.values()) + 2 * GAP for sizes in rows]
    sheet = Image.new("RGB", (SHEET_WIDTH, sum(heights) + GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for clip, sizes, height in zip(clips, rows, heights, strict=True):
        _draw_title(draw, clip, top=top, width=SHEET_WIDTH)
        indices = np.linspace(0, clip.num_frames - 1, SHEET_COLUMNS).round().astype(int).tolist()
        left = GAP
        for camera, (width, tile_height) in sizes.items():
            frames = dataset.frames(clip, camera, indices)
            for column, frame in enumerate(frames):
                x = left + column * (cell_width + GAP)
                _text(draw, (x, top + HEAD), camera, size=13, color=FAINT, width=width)
                sheet.paste(_scaled(frame, width, tile_height), (x, top + HEAD + LABEL))
            left += width + 2
        for column, index in enumerate(indices):
            place = (GAP + column * (cell_width + GAP), top + HEAD + LABEL + max(h for _, h in sizes.values()) + 3)
            moment = f"frame {clip.span.start + index}, {(clip.span.start + index) / clip.episode.fps:.2f} s"
            _text(draw, place, moment, size=13, color=FAINT, width=cell_width)
        top += height
    return sheet


def write_video(dataset: Dataset, clips: Sequence[Clip], path: Path) -> float:
    """Writes the clips one after the other, each at its own frame rate, as H.264 yuv420p; returns the seconds."""
    panels = [_Panel.of(dataset, clip) for clip in clips]
    height = max(panel.background.height for panel in panels)
    partial = path.with_name(path.name + ".partial")
    seconds = Fraction(0)
    try:
        with av.open(str(partial), "w", format="mp4", options={"movflags": "faststart"}) as container:
            options = {"crf": "20", "preset": "veryfast", "x264-params": "mbtree=0"}  # with mbtree bytes differ by run
            stream = container.add_stream("libx264", rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = VIDEO_WIDTH, height + height % 2, "yuv420p"
            stream.codec_context.time_base = TIME_BASE
            for panel in panels:
                duration = 1 / Fraction(panel.clip.episode.fps).limit_denominator(100_000)
                for picture in panel.pictures(dataset):
                    canvas = Image.new("RGB", (stream.width, stream.height), BACKGROUND)
                    canvas.paste(picture)
                    frame = av.VideoFrame.from_image(canvas)
                    frame.pts, frame.time_base = round(seconds / TIME_BASE), TIME_BASE
                    container.mux(stream.encode(frame))
                    seconds += duration
            container.mux(stream.encode())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return float(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """One clip of the video: all that stands still, and where the frames and the cursor go."""

    clip: Clip
    background: Image.Image
    places: Mapping[str, tuple[int, int, int, int]]
    plot_top: int

    @staticmethod
    def of(dataset: Dataset, clip: Clip) -> "_Panel":
        sizes = _tile_sizes(clip.episode.cameras, width=VIDEO_WIDTH - 2 * GAP, max_height=MAX_CAMERA_HEIGHT)
        top = GAP + HEAD + LABEL
        left = (VIDEO_WIDTH - sum(width for width, _ in sizes.values()) - 2 * (len(sizes) - 1)) // 2
        places = {}
        for camera, (width, height) in sizes.items():
            places[camera] = (left, top, width, height)
            left += width + 2
        plot_top = top + max(height for _, height in sizes.values()) + GAP
        plots = [
            _draw_rows(title, rows, space, num_frames=clip.num_frames)
            for title, rows, space in (
                ("actions", dataset.actions(clip), clip.episode.action_space),
                ("state", dataset.state(clip), clip.episode.state_space),
            )
            if rows is not None and space is not None
        ]
        bottom = plot_top + (sum(plot.height for plot in plots) or 2 * LABEL) + LABEL + GAP
        background = Image.new("RGB", (VIDEO_WIDTH, bottom), BACKGROUND)
        draw = ImageDraw.Draw(background)
        _draw_title(draw, clip, top=GAP, width=VIDEO_WIDTH)
        for camera, (x, y, width, _) in places.items():
            _text(draw, (x, y - LABEL), camera, size=13, color=FAINT, width=width)
        y = plot_top
        if not clip.num_actions:
            _text(draw, (GAP, y), "action-free", size=15, color=ACCENT, width=VIDEO_WIDTH)
        for plot in plots:
            background.paste(plot, (0, y))
            y += plot.height
        return _Panel(clip=clip, background=background, places=places, plot_top=plot_top if plots else bottom)

    def pictures(self, dataset: Dataset) -> Iterator[Image.Image]:
        """One picture a frame of the clip."""
        clip, bottom = self.clip, self.background.height - LABEL - GAP
        for begin in range(0, clip.num_frames, CHUNK):
            indices = range(begin, min(begin + CHUNK, clip.num_frames))
            frames = {camera: dataset.frames(clip, camera, indices) for camera in self.places}
            for i, index in enumerate(indices):
                picture = self.background.copy()
                draw = ImageDraw.Draw(picture)
                for camera, (x, y, width, height) in self.places.items():
                    picture.paste(_scaled(frames[camera][i], width, height), (x, y))
                cursor = _plot_x(index, clip.num_frames)
                if self.plot_top < bottom:
                    draw.line((cursor, self.plot_top + LABEL, cursor, bottom), fill=ACCENT, width=2)
                number = clip.span.start + index
                moment = f"frame {number} of {clip.episode.num_frames}, {number / clip.episode.fps:.2f} s"
                _text(draw, (GAP, bottom + 4), moment, size=13, color=FAINT, width=VIDEO_WIDTH)
                yield picture


def _draw_rows(title: str, rows: NDArray[np.generic], space: str, *, num_frames: int) -> Image.Image:
    """A strip chart: one line a dimension, each scaled to its own range, which stands at its right."""
    values = rows.astype(np.float64)
    num_rows = values.shape[1]
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = np.where(high > low, (values - low) / np.where(high > low, high - low, 1), 0.5)
    height = LABEL + GAP + num_rows * (20 if num_rows <= 16 else 14)
    figure = Figure(figsize=(VIDEO_WIDTH / 100, height / 100), dpi=100, facecolor=BACKGROUND)
    width = VIDEO_WIDTH - PLOT_LEFT - PLOT_RIGHT
    place = (PLOT_LEFT / VIDEO_WIDTH, GAP / height, width / VIDEO_WIDTH, 1 - (LABEL + GAP) / height)
    axes = figure.add_axes(place, facecolor=BACKGROUND)
    offsets = np.arange(num_rows - 1, -1, -1)
    for i, offset in enumerate(offsets):
        axes.plot(offset + 0.1 + 0.8 * scaled[:, i], color=LINE_COLORS[i % len(LINE_COLORS)], linewidth=1.2)
        if offset:
            axes.axhline(offset, color="#2a2e37", linewidth=0.8)
    axes.set_xlim(0, max(num_frames - 1, 1))
    axes.set_ylim(0, num_rows)
    axes.set_xticks([])
    font_points = 8 if num_rows <= 16 else 6.5
    axes.set_yticks(offsets + 0.5, spaces.load(space).names, color=INK, fontsize=font_points)
    ranges = axes.secondary_yaxis("right")
    ranges.set_yticks(
        offsets + 0.5,
        [_range(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)],
        color=FAINT,
        fontsize=font_points,
    )
    for axis in (axes, ranges):
        axis.tick_params(length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    _text(ImageDraw.Draw(image), (GAP, 0), f"{title}: {space}", size=13, color=FAINT, width=VIDEO_WIDTH)
    return image


def _range(low: float, high: float) -> str:
    if high == low:
        return f"constant {low:.3g}"
    if f"{low:.3g}" == f"{high:.3g}":
        return f"{low:.3g} (+{high - low:.1g})"
    return f"{low:.3g} … {high:.3g}"


def _plot_x(index: int, num_frames: int) -> int:
    return PLOT_LEFT + round(index / max(num_frames - 1, 1) * (VIDEO_WIDTH - PLOT_LEFT - PLOT_RIGHT))


def _draw_title(draw: ImageDraw.ImageDraw, clip: Clip, *, top: int, width: int) -> None:
    episode = clip.episode
    kind = f"{clip.num_actions} actions" if clip.num_actions else "action-free"
    first_line = " / ".join(episode.instructions) or "(no instruction)"
    second_line = f"{clip.key}   {clip.num_frames} frames at {episode.fps:g} fps   {kind}   {clip.codec}"
    _text(draw, (GAP, top), first_line, size=18, color=INK, width=width - 2 * GAP)
    _text(draw, (GAP, top + 25), second_line, size=13, color=FAINT, width=width - 2 * GAP)


def _tile_sizes(cameras: Sequence[Camera], *, width: int, max_height: int) -> dict[str, tuple[int, int]]:
    """Width and height of each camera's tile: one height for all, side by side (2 pixels apart) within `width`."""
    aspects = [camera.width / camera.height for camera in cameras]
    height = min(max_height, int((width - 2 * (len(cameras) - 1)) / sum(aspects)))
    return {
        camera.name: (max(1, int(height * aspect)), height) for camera, aspect in zip(cameras, aspects, strict=True)
    }


def _scaled(frame: NDArray[np.uint8], width: int, height: int) -> Image.Image:
    return Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)


def _text(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, *, size: int, color: str, width: int) -> None:
    """One line of text, cut to `width` pixels."""
    font = _font(size)
    if font.getlength(text) > width:
        while text and font.getlength(text + "…") > width:
            text = text[:-1]
        text += "…"
    draw.text(place, text, font=font, fill=color)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
