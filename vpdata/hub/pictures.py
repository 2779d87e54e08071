"""A data set in, the pictures of its card out: some clips, and of what it is composed."""

import io
from collections.abc import Mapping

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vpdata.hub.plan import CARD_FOLDER
from vpdata.overview.contents import describe
from vpdata.overview.facts import PartFacts
from vpdata.preview import draw_contact_sheet
from vpdata.shards.dataset import Dataset

CLIPS, COMPOSITION = f"{CARD_FOLDER}clips.jpg", f"{CARD_FOLDER}composition.png"
_NUM_CLIPS = 3
_MOST = 12
_WIDTH = 45
"""Characters of a name."""
_QUALITY = 85


def draw_pictures(dataset: Dataset) -> Mapping[str, bytes]:
    """The pictures by path in the repository; the same for the same data set and the same libraries.

    Raises:
        ShardError: the data set is empty or damaged.
    """
    return {CLIPS: _clips(dataset), COMPOSITION: _composition(dataset)}


def _clips(dataset: Dataset) -> bytes:
    count = min(_NUM_CLIPS, len(dataset.clips))
    clips = [dataset.clips[(2 * i + 1) * len(dataset.clips) // (2 * count)] for i in range(count)]
    buffer = io.BytesIO()
    draw_contact_sheet(dataset, clips).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _composition(dataset: Dataset) -> bytes:
    facts = describe(dataset)
    parts = {"tasks": _most(facts.tasks), "sources": _most(facts.sources)}
    counts = [len(shown) for shown in parts.values()]
    figure = Figure(figsize=(8, 1.6 + 0.3 * sum(counts)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 1, sharex=True, height_ratios=counts)
    for axes, (title, shown) in zip(panels, parts.items(), strict=True):
        names = [_shortened(part.name.replace("_", " ")) or "(none)" for part in shown]
        axes.barh(range(len(shown)), [part.num_frames for part in shown], color="#3a6ea5", tick_label=names)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("frames of each camera")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def _shortened(name: str) -> str:
    return name if len(name) <= _WIDTH else f"{name[: _WIDTH - 1]}…"


def _most(parts: tuple[PartFacts, ...]) -> list[PartFacts]:
    """The largest parts, the others as one."""
    if len(parts) <= _MOST:
        return list(parts)
    rest = parts[_MOST - 1 :]
    others = PartFacts(
        name=f"{len(rest)} others",
        num_episodes=sum(part.num_episodes for part in rest),
        num_clips=sum(part.num_clips for part in rest),
        num_frames=sum(part.num_frames for part in rest),
    )
    return [*parts[: _MOST - 1], others]
