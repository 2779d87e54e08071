"""Makes the one set of frames that every data benchmark reads, from real recordings.

    python -m benchmarks.data.make --out DIR

Enters: recordings in RoboCasa's HDF5 layout (by default those of the tests, 128 x 128, enlarged). Leaves in DIR:

    robocasa/demos.hdf5   the frames, in RoboCasa's layout and its writer's gzip chunks
    <codec>/                                   our data set made from it, one for every codec
    <codec>.toml                               a mixture of it alone
    windows.json                               [demo, start] of the first positions of that mixture, for peers

Episode k plays recording k (counted round and round) forwards and backwards without end, from another frame than the
episodes before. So there is no cut in it, but its actions do not lead from one frame to the next: good for speed only.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vpdata import codecs
from vpdata.clips.encode import ClipOptions
from vpdata.clips.resize import resize
from vpdata.errors import VpdataError
from vpdata.ingest import IngestOptions, ingest
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.shards.dataset import Dataset
from vpdata.sources.files import natural_key
from vpdata.sources.robocasa import CAMERAS, STATE

RECORDINGS = Path(__file__).parents[2] / "tests" / "recordings" / "robocasa"
FRAMES = Path("robocasa") / "demos.hdf5"
WINDOWS = "windows.json"
NUM_WINDOWS = 4096
FPS = 20
NUM_FRAMES, STRIDE, HORIZON = 8, 4, 32  # of a window, as the method has them
STEP = 37  # frames by which an episode begins later than the last one of the same recording


def demos_in(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Every rendered demo in the HDF5 files at these paths, in natural order. Raises VpdataError where none is."""
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.hdf5")))]
    found = []
    for file in files:
        with h5py.File(file) as h5:
            for name in sorted(h5["data"], key=natural_key):
                if all(camera in h5["data"][name].get("obs", {}) for camera in CAMERAS.values()):
                    found.append((file, name))
    if not found:
        raise VpdataError("no demos with RoboCasa's three cameras.", path=paths[0], hint="Name others: --recordings.")
    return found


def write_frames(
    paths: Sequence[Path], out: Path, *, episodes: range, frames: int, size: int, compression: str | None = "gzip"
) -> None:
    """Writes an HDF5 file with these episodes of so many frames, of three cameras `size` pixels high and wide.

    `compression` is h5py's; None leaves the images in one piece.
    """
    demos = demos_in(paths)
    out.parent.mkdir(parents=True)
    with h5py.File(out, "w") as target:
        data = target.create_group("data")
        for number in episodes:
            file, name = demos[number % len(demos)]
            with h5py.File(file) as source:
                data.attrs["env_args"] = json.dumps({"env_name": "Loop", "env_kwargs": {"control_freq": FPS}})
                turns = _turns(len(source["data"][name]["actions"]), number=number, frames=frames)
                _copy_demo(
                    source["data"][name], data.create_group(f"demo_{number}"), turns, size=size, compression=compression
                )


def _turns(recorded: int, *, number: int, frames: int) -> NDArray[np.int64]:
    """Which of the recorded frames each frame of episode `number` shows: to and fro."""
    there_and_back = np.concatenate([np.arange(recorded), np.arange(recorded - 2, 0, -1)])
    return there_and_back[(number * STEP + np.arange(frames)) % len(there_and_back)]


def _copy_demo(source: Any, target: Any, turns: NDArray[np.int64], *, size: int, compression: str | None) -> None:
    target.attrs["ep_meta"] = source.attrs["ep_meta"]
    target.attrs["num_samples"] = len(turns)
    target["actions"] = source["actions"][()][turns]
    for name in STATE:
        target[f"obs/{name}"] = source["obs"][name][()][turns]
    for name in CAMERAS.values():
        images = resize(source["obs"][name][()], height=size, width=size, fit="stretch")
        target.create_dataset(f"obs/{name}", data=images[turns], compression=compression)


def ingest_codec(root: Path, codec: str) -> Dataset:
    """Our data set in that codec, made unless it is there; beside it a mixture of it alone."""
    options = IngestOptions(clip=ClipOptions(codec=codec))
    ingest("robocasa", [root / FRAMES], root / codec, options)
    dataset = Dataset.open(root / codec)
    file = root / f"{codec}.toml"
    make_mixture({"robocasa": dataset}, file=file).spec.write(file)
    return dataset


def window_places(mixture: Mixture, *, count: int) -> Iterator[tuple[int, int]]:
    """Demo number and start frame of the first positions."""
    for position in range(count):
        ref = mixture.locate(position)
        clip = mixture.datasets[ref.dataset].clips[ref.clip]
        yield int(clip.episode.episode_id.removeprefix("demo_")), clip.span.start + ref.start


def make(
    root: Path, *, recordings: Sequence[Path], episodes: int, frames: int, size: int, names: Sequence[str]
) -> None:
    """Makes what is not there yet. Raises VpdataError where DIR was made with other arguments."""
    arguments = {"recordings": [path.name for path in recordings], "episodes": episodes, "frames": frames, "size": size}
    made = root / "made.json"
    if made.exists():
        if json.loads(made.read_text()) != arguments:
            raise VpdataError("was made with other arguments.", path=root, hint="Give a new folder as --out.")
    else:
        write_frames(recordings, root / FRAMES, episodes=range(episodes), frames=frames, size=size)
        made.write_text(json.dumps(arguments))
    for name in names:
        ingest_codec(root, name)
    mixture = Mixture.open(root / f"{names[0]}.toml")
    (root / WINDOWS).write_text(json.dumps(list(window_places(mixture, count=NUM_WINDOWS))))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--recordings", type=Path, nargs="+", default=[RECORDINGS], help="HDF5 files or folders")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--frames", type=int, default=120, help="of every camera of an episode")
    parser.add_argument("--size", type=int, default=256, help="pixels, height and width")
    parser.add_argument("--codecs", nargs="+", default=["h264", "jpeg"], choices=codecs.NAMES)
    args = parser.parse_args()
    make(
        args.out,
        recordings=args.recordings,
        episodes=args.episodes,
        frames=args.frames,
        size=args.size,
        names=args.codecs,
    )


if __name__ == "__main__":
    main()
