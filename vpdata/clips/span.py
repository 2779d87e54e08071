"""The number of frames of an episode in, the `Span`s that it is stored as out."""

from vpdata.schema import Span

CLIP_STARTS = 256
WINDOW_SPAN = 64


def plan_spans(num_frames: int, *, clip_starts: int = CLIP_STARTS, window_span: int = WINDOW_SPAN) -> tuple[Span, ...]:
    """Tiles an episode so that every frame begins a window in exactly one clip, and that clip holds the whole window.

        frames    0         clip_starts        2*clip_starts       num_frames
        clip 0    |== starts ==|-- window_span - 1 --|
        clip 1                 |== starts, to the end of the episode =|

    The frames that two clips share are stored twice, which costs (window_span - 1) / clip_starts. The last clip takes
    the whole remainder once that is at most `clip_starts + window_span` frames, so that no clip is a stub.

    Args:
        num_frames: frames of the episode.
        clip_starts: window starts of every clip but the last.
        window_span: the longest window to hold, in frames: at least `(frames - 1) * stride + 1` and the action horizon.
    """
    if num_frames < 1 or clip_starts < 1 or window_span < 1:
        raise ValueError(f"{num_frames=}, {clip_starts=} and {window_span=} must be at least 1")
    spans = []
    start = 0
    while num_frames - start > clip_starts + window_span:
        spans.append(Span(start=start, stop=start + clip_starts + window_span - 1, num_starts=clip_starts))
        start += clip_starts
    spans.append(Span(start=start, stop=num_frames, num_starts=num_frames - start))
    return tuple(spans)
