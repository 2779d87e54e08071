"""Every file of a larger collection of real recordings is ingested, or refused for the right reason.

The collection is `../shared/data` beside the repository, or $VPDATA_RECORDINGS. It is walked whole: a file that the
table does not know fails the test, too.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from vpdata.clips.encode import ClipOptions
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset

DRAWER = "robocasa/v0.1/single_stage/kitchen_drawer"
NO_IMAGES = "the demos have no images, only states"
OUTCOMES: Mapping[str, tuple[str, int | str]] = {
    "aloha/act_sim_transfer_cube_raw_first12/episode_0.hdf5": ("teleop", 1),
    "aloha/mobile_aloha_style_derived/episode_0.hdf5": ("teleop", 1),
    "aloha/sim_transfer_cube_scripted_compressed/episode_0.hdf5": ("teleop", 1),
    "libero/libero_10/LIVING_ROOM_SCENE2_put_both_*_in_the_basket_demo.hdf5": ("libero", 1),
    "libero/libero_goal/open_the_middle_drawer_of_the_cabinet_demo.hdf5": ("libero", 4),
    "libero/libero_goal/put_the_bowl_on_top_of_the_cabinet_demo.hdf5": ("libero", 1),
    "libero/libero_object/pick_up_the_alphabet_soup_and_place_it_in_the_basket_demo.hdf5": ("libero", 3),
    "libero_states_only/*/*/demo.hdf5": ("libero", NO_IMAGES),
    f"{DRAWER}/CloseDrawer/demo.hdf5": ("robocasa", NO_IMAGES),
    f"{DRAWER}/CloseDrawer/demo_gentex_im128_randcams.hdf5": ("robocasa", 3),
    f"{DRAWER}/CloseDrawer/demo_gentex_im256_randcams.hdf5": ("robocasa", 1),
    f"{DRAWER}/OpenDrawer/demo_gentex_im128_randcams.hdf5": ("robocasa", 3),
    "video/broken_bitflips.mp4": ("video", r"the video does not decode at frame \d+ of 129"),
    "video/broken_text_renamed.mp4": ("video", "FFmpeg does not recognise this as a video"),
    "video/broken_truncated_no_moov.mp4": ("video", "cut off before its index"),
    "video/broken_zero_byte.mp4": ("video", "the file is empty"),
    "video/[!b]*": ("video", 1),
}


@pytest.fixture(scope="module")
def collection() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("VPDATA_RECORDINGS", default))
    if not folder.is_dir():
        lost = f"NO RECORDINGS in {folder} (set VPDATA_RECORDINGS): nothing here checks all of them."
        if os.environ.get("VPDATA_REQUIRE_RECORDINGS") == "1":
            pytest.fail(lost)
        pytest.skip(lost)
    return folder


def outcome_of(name: str) -> tuple[str, int | str]:
    found = [outcome for pattern, outcome in OUTCOMES.items() if Path(name).match(pattern)]
    assert len(found) == 1, f"{name}: {len(found)} outcomes"
    return found[0]


@pytest.mark.parametrize("source", ["teleop", "libero", "robocasa", "video"])
def test_every_file_has_its_outcome(collection: Path, tmp_path: Path, source: str) -> None:
    files = sorted(path for path in collection.rglob("*") if path.is_file())
    assert files
    mine = [path for path in files if outcome_of(path.relative_to(collection).as_posix())[0] == source]
    assert mine
    links = tmp_path / "links"  # so that each file is a SRC of its own, with a name of its own
    links.mkdir()
    names: dict[str, str] = {}
    for number, path in enumerate(mine):
        link = links / f"{number:03d}_{path.name}"
        link.symlink_to(path)
        names[link.name] = path.relative_to(collection).as_posix()
    options = IngestOptions(clip=ClipOptions(height=32, width=32), mixed_cameras=True)
    manifest = ingest(source, [*links.iterdir()], tmp_path / "out", options, on_error="skip")
    clips = Dataset.open(tmp_path / "out").clips
    ingested = Counter(file for file, _ in {(clip.episode.file, clip.episode.episode_id) for clip in clips})
    reasons = {skipped.file: skipped.reason for skipped in manifest.skipped}
    assert set(ingested) | set(reasons) == set(names)
    for link_name, name in names.items():
        _, outcome = outcome_of(name)
        if isinstance(outcome, int):
            assert (ingested[link_name], reasons.get(link_name)) == (outcome, None), name
        else:
            assert (ingested[link_name], bool(re.search(outcome, reasons[link_name]))) == (0, True), name
