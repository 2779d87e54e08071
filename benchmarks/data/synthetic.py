"""A number of clips in, a data set folder without shards out: manifest and index as an ingest of that size leaves them.

The index goes through the real writer. 100 clips a shard, 4 an episode, 50 episodes a file; three cameras, actions,
state and json; sizes, checksums and digests are random, so that nothing compresses better than in earnest.
"""

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from vpdata import __version__
from vpdata.mixture.make import make_mixture
from vpdata.schema import Camera, Clip, Episode, Member, Span
from vpdata.shards.dataset import Dataset
from vpdata.shards.files import write_whole
from vpdata.shards.index import to_parquet
from vpdata.shards.manifest import FORMAT_VERSION, INDEX_NAME, MANIFEST_NAME, FileInfo, Manifest, ShardInfo
from vpdata.shards.tar import BLOCK, END
from vpdata.stats import ArrayStatistics

CLIPS_A_SHARD, CLIPS_AN_EPISODE, EPISODES_A_FILE = 100, 4, 50
CLIP_STARTS, NUM_FRAMES = 40, 71
MEMBERS = ("actions.npy", "json", "left.mp4", "right.mp4", "state.npy", "wrist.mp4")
CAMERAS = tuple(
    Camera(name=name, recorded_name=f"robot0_{recorded}_image", height=256, width=256)
    for name, recorded in (("wrist", "eye_in_hand"), ("left", "agentview_left"), ("right", "agentview_right"))
)
TASKS = tuple(
    f"{verb}{thing}"
    for verb in ("Close", "Open", "PnPCounterTo", "PnPToCounterFrom", "TurnOn", "TurnOff")
    for thing in ("Drawer", "SingleDoor", "Microwave", "Stove")
)


def make(folder: Path, *, num_clips: int) -> Path:
    """Makes the data set and a mixture of it, unless they are there; returns the mixture's file.

    Half of the tasks are withheld, half of the stream is action-free, 1 % of the episodes are held out.
    """
    mixture = folder.with_suffix(".toml")
    if mixture.is_file() and (folder / MANIFEST_NAME).is_file():
        return mixture
    folder.mkdir(parents=True, exist_ok=True)
    index = to_parquet(clips(num_clips))
    write_whole(folder / INDEX_NAME, index)
    write_whole(folder / MANIFEST_NAME, _manifest(num_clips, index).to_bytes())
    made = make_mixture(
        {"robocasa": Dataset.open(folder)},
        file=mixture,
        action_free=Fraction(1, 2),
        withhold={"robocasa": TASKS[::2]},
        holdout=Fraction(1, 100),
    )
    made.spec.write(mixture)
    return mixture


def clips(num_clips: int) -> Iterator[Clip]:
    """The clips, one after another; the same for the same number."""
    rng = np.random.default_rng(0)
    position = 0
    for i in range(num_clips):
        number, part = divmod(i, CLIPS_AN_EPISODE)
        if part == 0:
            episode = _episode(number, rng)
        if i % CLIPS_A_SHARD == 0:
            position = 0
        members = []
        sizes = (6944, int(rng.integers(880, 910)), *rng.integers(100_000, 250_000, 4).tolist())
        for name, size in zip(MEMBERS, (*sizes[:4], 9216, sizes[5]), strict=True):
            crc32 = int(rng.integers(1 << 32))
            members.append(Member(name=name, offset=position + BLOCK, size=size, crc32=crc32))
            position += BLOCK + size + -size % BLOCK
        start = part * CLIP_STARTS
        yield Clip(
            key=f"{episode.task.lower()}-{episode.episode_id}-{episode.content_digest[:8]}-{start:05d}",
            shard=f"shard-{i // CLIPS_A_SHARD:05d}.tar",
            episode=episode,
            span=Span(start=start, stop=start + NUM_FRAMES, num_starts=CLIP_STARTS),
            num_actions=NUM_FRAMES,
            codec="h264",
            members=tuple(members),
        )


def _episode(number: int, rng: np.random.Generator) -> Episode:
    file, demo = divmod(number, EPISODES_A_FILE)
    task = TASKS[file % len(TASKS)]
    num_frames = (CLIPS_AN_EPISODE - 1) * CLIP_STARTS + NUM_FRAMES
    return Episode(
        source="robocasa",
        file=f"v0.1/single_stage/{task}/2024-04-{file % 30:02d}/demo_gentex_im256_randcams_{file:05d}.hdf5",
        episode_id=f"demo_{demo}",
        content_digest=rng.bytes(32).hex(),
        num_frames=num_frames,
        num_actions=num_frames,
        fps=20.0,
        cameras=CAMERAS,
        action_space="robocasa_panda_omron_action",
        state_space="robocasa_panda_omron_state",
        instructions=(f"pick object {rng.integers(2500)} from the {task} and place it where it belongs",),
        task=task,
        attributes={"layout_id": int(rng.integers(10)), "style_id": int(rng.integers(12)), "success": True},
    )


def _manifest(num_clips: int, index: bytes) -> Manifest:
    num_episodes = -(-num_clips // CLIPS_AN_EPISODE)
    rows = np.random.default_rng(0).normal(size=(100, 12))
    return Manifest(
        format_version=FORMAT_VERSION,
        tool_version=__version__,
        source="robocasa",
        options={},
        plan_digest=hashlib.sha256(b"plan").hexdigest(),
        shards=tuple(
            ShardInfo(
                name=f"shard-{first // CLIPS_A_SHARD:05d}.tar",
                size=len(END),
                sha256=hashlib.sha256(str(first).encode()).hexdigest(),
                num_clips=min(CLIPS_A_SHARD, num_clips - first),
                num_frames=NUM_FRAMES * min(CLIPS_A_SHARD, num_clips - first),
            )
            for first in range(0, num_clips, CLIPS_A_SHARD)
        ),
        index=FileInfo(name=INDEX_NAME, size=len(index), sha256=hashlib.sha256(index).hexdigest()),
        num_episodes=num_episodes,
        num_clips=num_clips,
        num_frames=NUM_FRAMES * num_clips,
        num_labelled_clips=num_clips,
        duration_seconds=num_episodes * ((CLIPS_AN_EPISODE - 1) * CLIP_STARTS + NUM_FRAMES) / 20,
        statistics={"robocasa_panda_omron_action": ArrayStatistics.of(rows)},
        skipped=(),
    )
