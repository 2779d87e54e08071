"""Content scores of a video's frames in, the frames that begin a scene out, as PySceneDetect finds them."""

import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from vpdata.curation.thresholds import Thresholds


def find_cuts(content: NDArray[np.float32], thresholds: Thresholds) -> tuple[int, ...]:
    """The frames, in order, at which `AdaptiveDetector` sees a cut: each is the first of its scene.

    Args:
        content: (N,) content score of every frame to the one before, 0 for the first.
        thresholds: `cut_ratio`, `cut_content` and `cut_window_frames` count.
    """
    width = thresholds.cut_window_frames
    unknown = thresholds.cut_content  # what is taken for the changes that nobody saw: to frame 0, and beyond the ends
    detector = _Recorded(np.pad(content[1:], (width + 1, width), constant_values=unknown), thresholds)
    found = [cut.frame_num for i in range(len(detector.content)) for cut in detector.process_frame(_timecode(i), None)]
    return tuple(cut - width for cut in found if 0 < cut - width < len(content))


def _timecode(frame: int) -> FrameTimecode:
    return FrameTimecode(frame, fps=1.0)  # the rate does not count: cuts may follow each other at any distance


class _Recorded(AdaptiveDetector):  # type: ignore[misc]  # the package has no types here
    """PySceneDetect's detector on scores that were computed before, instead of on frames."""

    def __init__(self, content: NDArray[np.float32], thresholds: Thresholds) -> None:
        super().__init__(
            adaptive_threshold=thresholds.cut_ratio,
            min_scene_len=0,
            window_width=thresholds.cut_window_frames,
            min_content_val=thresholds.cut_content,
            luma_only=True,
        )
        self.content = content

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: None) -> float:  # noqa: ARG002
        return float(self.content[timecode.frame_num])
