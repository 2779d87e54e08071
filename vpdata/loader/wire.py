"""Jobs and answers in, the bytes that go through a worker's pipe out, and back.

Records travel as tuples of plain values: to pickle them as they are takes about four times as long, there and back.
"""

import pickle
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from vpdata.loader.jobs import Answer, Attach, Job, Place
from vpdata.loader.window import View, WindowArrays
from vpdata.schema import Camera, Clip, Episode, Member, Span

PROTOCOL = 5  # whose arrays cost half of what the older ones' do

_JOB = ("number", "position", "attempt", "dataset", "start", "labelled", "source", "slot")
_CLIP = ("key", "shard", "num_actions", "codec")
_SPAN = ("start", "stop", "num_starts")
_EPISODE = (
    *("source", "file", "episode_id", "content_digest", "num_frames", "num_actions", "fps", "action_space"),
    *("state_space", "instructions", "task", "attributes"),
)
_CAMERA = ("name", "recorded_name", "height", "width")
_MEMBER = ("name", "offset", "size", "crc32")
_VIEW = ("camera", "shape")
_job, _clip, _span, _episode = attrgetter(*_JOB), attrgetter(*_CLIP), attrgetter(*_SPAN), attrgetter(*_EPISODE)
_camera, _member, _view = attrgetter(*_CAMERA), attrgetter(*_MEMBER), attrgetter(*_VIEW)


def jobs_to_bytes(jobs: Sequence[Job]) -> bytes:
    """What `message_from` makes equal jobs of."""
    return pickle.dumps([_values(job) for job in jobs], PROTOCOL)


def message_from(data: bytes) -> list[Job] | Attach:
    """What a worker is told."""
    message = pickle.loads(data)
    return message if isinstance(message, Attach) else [_job_of(*values) for values in message]


def answers_to_bytes(answers: Sequence[Answer]) -> bytes:
    """What `answers_from` makes equal answers of."""
    return pickle.dumps([(answer.number, *_result(answer.result)) for answer in answers], PROTOCOL)


def answers_from(data: bytes) -> list[Answer]:
    """What a worker says."""
    return [Answer(number=number, result=_result_of(*values)) for number, *values in pickle.loads(data)]


def _values(job: Job) -> tuple[Any, ...]:
    clip = job.clip
    return (
        _job(job),
        [(*_view(place.view), place.offset) for place in job.places],
        _clip(clip),
        _span(clip.span),
        _episode(clip.episode),
        [_camera(camera) for camera in clip.episode.cameras],
        [_member(member) for member in clip.members],
    )


def _job_of(job: Any, places: Any, clip: Any, span: Any, episode: Any, cameras: Any, members: Any) -> Job:
    return Job(
        clip=Clip(
            episode=Episode(
                cameras=tuple(Camera(**_named(_CAMERA, camera)) for camera in cameras), **_named(_EPISODE, episode)
            ),
            span=Span(**_named(_SPAN, span)),
            members=tuple(Member(**_named(_MEMBER, member)) for member in members),
            **_named(_CLIP, clip),
        ),
        places=tuple(Place(view=View(**_named(_VIEW, view)), offset=offset) for *view, offset in places),
        **_named(_JOB, job),
    )


def _named(names: tuple[str, ...], values: Any) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


def _result(result: WindowArrays | Exception) -> tuple[Any, ...]:
    return (result.frames, result.actions, result.state) if isinstance(result, WindowArrays) else (result,)


def _result_of(*values: Any) -> WindowArrays | Exception:
    if len(values) == 1:
        error: Exception = values[0]
        return error
    frames, actions, state = values
    return WindowArrays(frames=frames, actions=actions, state=state)
