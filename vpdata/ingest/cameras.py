"""The cameras of all episodes in; an error where they are not the same, as a missing camera must not go unnoticed."""

from collections.abc import Iterable

from vpdata.errors import SourceError
from vpdata.schema import Episode

_LISTED = 5


def refuse_mixed_cameras(episodes: Iterable[Episode]) -> None:
    """Raises SourceError where episodes have different cameras, saying which episodes lack what."""
    groups: dict[frozenset[str], list[str]] = {}
    for episode in episodes:
        names = frozenset(camera.name for camera in episode.cameras)
        groups.setdefault(names, []).append(f"{episode.file}, {episode.episode_id}")
    if len(groups) < 2:
        return
    most, *others = sorted(groups, key=lambda names: (-len(groups[names]), sorted(names)))
    listed = [f"{len(groups[most])} have {_joined(most)}"]
    for names in others:
        found = groups[names]
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        listed.append(f"{len(found)} have {_joined(names)} ({'; '.join(found[:_LISTED])}{more})")
    raise SourceError(
        f"the episodes have different cameras: {'; '.join(listed)}.",
        hint="Name those that all have with --camera, or accept it with --mixed-cameras.",
    )


def _joined(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
