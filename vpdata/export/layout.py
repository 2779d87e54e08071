"""Runs in; what they all have in common, cameras, rate and spaces, out."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from vpdata.errors import ExportError
from vpdata.export.runs import Run
from vpdata.schema import Camera


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one export says once for all its episodes.

    Attributes:
        fps: frames a second.
        cameras: as the first episode has them.
        action_space: None for an action-free export.
        state_space: None where there is no state.
    """

    fps: float
    cameras: tuple[Camera, ...]
    action_space: str | None
    state_space: str | None


def common_layout(runs: Sequence[Run]) -> Layout:
    """The layout of all runs. Raises ExportError where they differ, with a condition that tells them apart."""
    first = runs[0]
    _refuse_others(runs, "fps", lambda run: run.episode.fps, f"fps == {first.episode.fps:g}")
    cameras = "+".join(camera.name for camera in first.episode.cameras)
    _refuse_others(runs, "cameras", _cameras, f"cameras == '{cameras}' and height == {first.episode.cameras[0].height}")
    if first.labelled:
        space = first.episode.action_space
        _refuse_others(runs, "action space", lambda run: run.episode.action_space, f"action_space == '{space}'")
    space = first.episode.state_space or ""
    _refuse_others(runs, "state space", lambda run: run.episode.state_space, f"state_space == '{space}'")
    return Layout(
        fps=first.episode.fps,
        cameras=first.episode.cameras,
        action_space=first.episode.action_space if first.labelled else None,
        state_space=first.episode.state_space,
    )


def _cameras(run: Run) -> Hashable:
    return ", ".join(sorted(f"{camera.name} {camera.height}x{camera.width}" for camera in run.episode.cameras))


def _refuse_others(runs: Sequence[Run], what: str, of: Callable[[Run], Hashable], query: str) -> None:
    expected = of(runs[0])
    other = next((run for run in runs if of(run) != expected), None)
    if other is not None:
        raise ExportError(
            f"{what}: {of(other)} here, and {expected} in {runs[0].name}, but all episodes of an export have the same.",
            path=other.dataset.place,
            episode=other.name,
            hint=f'Choose with `vpdata filter {other.dataset.place} "{query}" --out DIR`, and export that.',
        )
