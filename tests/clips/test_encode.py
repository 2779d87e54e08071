"""Members of clips, with a reader that the tests can make lie about its recording."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vpdata import codecs
from vpdata.clips.encode import ClipOptions, clip_key, encode_clip
from vpdata.errors import SourceError
from vpdata.schema import KEY_PATTERN, Camera, Episode, Span

FRAMES = np.random.default_rng(1).integers(0, 256, (10, 24, 32, 3), dtype=np.uint8)
ACTIONS = np.arange(27, dtype=np.float32).reshape(9, 3)
STATE = np.arange(20, dtype=np.float64).reshape(10, 2)
EPISODE = Episode(
    source="robocasa",
    file="kitchen/Close Drawer.hdf5",
    episode_id="demo_0",
    content_digest="0123456789abcdef" * 4,
    num_frames=10,
    num_actions=9,
    fps=20,
    cameras=(Camera(name="wrist", recorded_name="eye_in_hand", height=24, width=32),),
    action_space="some_action",
    state_space="some_state",
    instructions=("close the drawer",),
)
SPAN = Span(start=4, stop=10, num_starts=6)
LOSSLESS = ClipOptions(codec="ffv1")


class Reader:
    def __init__(
        self,
        *,
        recorded: NDArray[np.uint8] = FRAMES,
        actions: NDArray[np.generic] | None = ACTIONS,
        state: NDArray[np.generic] | None = STATE,
    ) -> None:
        self.recorded, self.actions, self.state = recorded, actions, state

    def frames(self, camera: str, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        assert camera == "wrist"
        yield from self.recorded[start:stop]


def encode(reader: Reader, episode: Episode = EPISODE, options: ClipOptions = LOSSLESS) -> dict[str, bytes]:
    return encode_clip(reader, episode, SPAN, options, tool_version="1")


def test_members_hold_the_span_and_nothing_else() -> None:
    members = encode(Reader())
    assert set(members) == {"wrist.mkv", "actions.npy", "state.npy", "json"}
    decoded = codecs.load("ffv1").decode(members["wrist.mkv"], range(6), height=24, width=32)
    np.testing.assert_array_equal(decoded, FRAMES[4:10])
    actions, state = (np.load(io.BytesIO(members[name]), allow_pickle=False) for name in ("actions.npy", "state.npy"))
    np.testing.assert_array_equal(actions, ACTIONS[4:9], strict=True)
    np.testing.assert_array_equal(state, STATE[4:10], strict=True)
    record = json.loads(members["json"])
    assert (record["start_frame"], record["stop_frame"], record["num_actions"]) == (4, 10, 5)
    assert record["cameras"] == [{"name": "wrist", "recorded_name": "eye_in_hand", "height": 24, "width": 32}]


def test_size_applies_to_frames_and_provenance() -> None:
    members = encode(Reader(), options=ClipOptions(codec="ffv1", height=16, width=16))
    assert codecs.load("ffv1").decode(members["wrist.mkv"], [5], height=16, width=16).shape == (1, 16, 16, 3)
    assert json.loads(members["json"])["cameras"][0]["height"] == 16


def test_action_free_episodes_have_no_arrays() -> None:
    episode = replace(EPISODE, num_actions=0, action_space=None, state_space=None)
    assert set(encode(Reader(actions=None, state=None), episode)) == {"wrist.mkv", "json"}


NAN = ACTIONS.copy()
NAN[7, 1] = np.nan


@pytest.mark.parametrize(
    ("reader", "what"),
    [
        (Reader(recorded=FRAMES[:8]), "camera wrist: ends at frame 8, expected 10 frames"),
        (Reader(recorded=FRAMES[:4]), "camera wrist: ends at frame 4, expected 10 frames"),
        (Reader(recorded=FRAMES[:, :20]), r"camera wrist: frame 4 is uint8 \(20, 32, 3\)"),
        (Reader(actions=ACTIONS[:8]), r"actions: expected 9 rows, found shape \(8, 3\)"),
        (Reader(actions=None), "actions: expected 9 rows, found none"),
        (Reader(state=STATE[:9]), "state: expected 10 rows"),
        (Reader(actions=NAN), "actions: row 7 holds NaN"),
    ],
)
def test_a_recording_unlike_its_description_is_refused(reader: Reader, what: str) -> None:
    with pytest.raises(SourceError, match=what) as caught:
        encode(reader)
    assert (caught.value.path, caught.value.episode) == (EPISODE.file, "demo_0")


def test_keys_are_short_plain_and_tell_clips_apart() -> None:
    assert clip_key(EPISODE, SPAN) == "close_drawer-demo_0-01234567-00004"
    assert clip_key(replace(EPISODE, task="CloseDrawer"), SPAN) == "closedrawer-demo_0-01234567-00004"
    strange = replace(EPISODE, file="späces & ünicode " * 9 + ".mp4", episode_id="日本")
    assert KEY_PATTERN.fullmatch(clip_key(strange, SPAN))
    assert len(clip_key(strange, SPAN)) < 85
    same = replace(EPISODE, file="demo_0.mp4")
    assert clip_key(same, SPAN) == "demo_0-01234567-00004"


def test_half_a_size_is_no_size() -> None:
    with pytest.raises(ValueError, match="size"):
        ClipOptions(height=3)
