"""New labels in; episodes that carry them, and the new names of their clips' members, out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vpdata import codecs
from vpdata.errors import SetError
from vpdata.schema import NAME_PATTERN, Clip, Episode, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What episodes shall say of themselves; whatever is empty or None stays as it is.

    Attributes:
        instructions: replace all that there are.
        task: replaces the task. Keys of clips stay, though the old task may be in them.
        cameras: new name by old name.
        attributes: are added, or replace those of the same name.
        only_cameras: old names of those that stay, in the order of the episode; the others' videos go.

    Raises:
        SetError: on construction, when there is nothing to change or a camera's name is not [a-z0-9_]+.
    """

    instructions: tuple[str, ...] = ()
    task: str | None = None
    cameras: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    only_cameras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        changes = (self.instructions, self.task is not None, self.cameras, self.attributes, self.only_cameras)
        if not any(changes):
            raise SetError(
                "there is nothing to change.", hint="Give a new instruction, task, camera name or attribute."
            )
        for name in self.cameras.values():
            if NAME_PATTERN.fullmatch(name) is None:
                raise SetError(f"camera name {name!r} has characters outside a-z 0-9 _.")

    def of(self, episode: Episode) -> Episode:
        """The episode with these labels.

        Raises:
            SetError: two of its cameras would have the same name.
        """
        kept = [camera for camera in episode.cameras if not self.only_cameras or camera.name in self.only_cameras]
        names = [self.cameras.get(camera.name, camera.name) for camera in kept]
        if len(set(names)) != len(names):
            what = f"its cameras would be called {', '.join(names)}."
            raise SetError(what, path=episode.file, episode=episode.episode_id, hint="Names must differ.")
        cameras = zip(kept, names, strict=True)
        return replace(
            episode,
            cameras=tuple(replace(camera, name=name) for camera, name in cameras),
            instructions=self.instructions or episode.instructions,
            task=episode.task if self.task is None else self.task,
            attributes={**episode.attributes, **self.attributes},
        )

    def to_json(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        return {
            "instructions": list(self.instructions),
            "task": self.task,
            "cameras": dict(sorted(self.cameras.items())),
            "attributes": dict(sorted(self.attributes.items())),
            **({"only_cameras": list(self.only_cameras)} if self.only_cameras else {}),
        }


def member_names(old: Clip, labels: Labels | None) -> dict[str, str]:
    """New names of the members that a clip keeps under these labels, by old name; None changes nothing."""
    names = {member.name: member.name for member in old.members}
    if labels is None:
        return names
    extension = codecs.load(old.codec).extension
    for camera in old.episode.cameras:
        member = f"{camera.name}.{extension}"
        if labels.only_cameras and camera.name not in labels.only_cameras:
            del names[member]
        else:
            names[member] = f"{labels.cameras.get(camera.name, camera.name)}.{extension}"
    return names
