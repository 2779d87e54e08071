"""Lists of videos: each row its stretch and its captions, and everything wrong with the rows told at once."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import describe, episodes, errors, read

from vpdata.errors import SourceError
from vpdata.ingest import IngestOptions, ingest
from vpdata.shards.dataset import Dataset
from vpdata.sources import SourceOptions, video_list

SOUP = "libero_object_soup_000.mp4"  # 147 frames at 20 a second, to 7.35 s
SLOW = "libero10_basket_002_5fps.mp4"
VARIABLE = "libero_object_soup_003_vfr.mp4"


@pytest.fixture
def footage(recordings: Path, tmp_path: Path) -> Path:
    for name in (SOUP, SLOW, VARIABLE):
        (tmp_path / "cams").mkdir(exist_ok=True)
        shutil.copy(recordings / "video" / name, tmp_path / "cams" / name)
    return tmp_path


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_row_is_an_episode_with_its_captions(footage: Path) -> None:
    path = write(
        footage / "list.csv",
        "path,start,end,caption,licence,task,url,source",
        f'cams/{SOUP},0,2,"reach, then grasp | grasp the soup",CC-BY-4.0,pick,http://a.example/1,lab',
        f"cams/{SOUP},2.0,,put it in the basket,CC-BY-4.0,place,,",
        f"./cams/../cams/{SLOW},,,tidy up,,,,",
    )
    first, second, whole = episodes("video", path)
    assert (first.file, first.episode_id, first.num_frames) == (f"cams/{SOUP}", f"{SOUP[:-4]}:0-40", 40)
    assert (second.episode_id, second.num_frames) == (f"{SOUP[:-4]}:40-147", 107)
    assert (whole.file, whole.episode_id) == (f"cams/{SLOW}", SLOW[:-4])
    assert first.instructions == ("reach, then grasp", "grasp the soup")
    assert second.instructions == ("put it in the basket",)
    assert (first.task, second.task, whole.task) == ("pick", "place", "")
    assert {key: first.attributes[key] for key in ("licence", "url", "source")} == {
        "licence": "CC-BY-4.0",
        "url": "http://a.example/1",
        "source": "lab",
    }
    assert "licence" not in whole.attributes
    (alone,) = episodes("video", footage / "cams" / SOUP)
    expected = read("video", footage / "cams" / SOUP, alone)[0]["main"]
    for episode, part in ((first, expected[:40]), (second, expected[40:])):
        np.testing.assert_array_equal(read("video", path, episode)[0]["main"], part)


def test_stretches_of_a_variable_rate_tile_it(footage: Path) -> None:
    path = write(
        footage / "list.csv",
        "path,start,end",
        f"cams/{VARIABLE},3.21,",
        f"cams/{VARIABLE},0,1.1",
        f"cams/{VARIABLE},1.1,3.21",
    )
    found = sorted(episodes("video", path), key=lambda episode: int(episode.attributes["video_first_frame"]))
    (alone,) = episodes("video", footage / "cams" / VARIABLE)
    expected = read("video", footage / "cams" / VARIABLE, alone)[0]["main"]
    parts = [read("video", path, episode)[0]["main"] for episode in found]
    np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.parametrize("column", [pa.string(), pa.list_(pa.string())])
def test_parquet_says_the_same_as_csv(footage: Path, column: pa.DataType) -> None:
    csv_path = write(footage / "list.csv", "path,start,end,caption", f"cams/{SOUP},,2,reach", f"cams/{SLOW},,,tidy up")
    captions = ["reach", "tidy up"] if column == pa.string() else [["reach"], ["tidy up"]]
    columns = {
        "path": [f"cams/{SOUP}", f"cams/{SLOW}"],
        "start": pa.array([None, None], pa.float64()),
        "end": [2.0, None],
        "caption": pa.array(captions, column),
    }
    pq.write_table(pa.table(columns), footage / "list.parquet")
    assert episodes("video", footage / "list.parquet") == episodes("video", csv_path)


def test_rows_that_differ_in_their_caption_are_one_episode(footage: Path) -> None:
    lines = [f"cams/{SLOW},{caption}" for caption in ("tidy up", "clean the table", "")]
    path = write(footage / "list.csv", "path,caption", *lines[:2])
    (episode,) = episodes("video", path)
    assert episode.instructions == ("tidy up", "clean the table")
    (replaced,) = episodes("video", path, SourceOptions(instruction="go"))
    assert replaced.instructions == ("go",)


def test_captions_are_part_of_what_an_episode_is(footage: Path) -> None:
    digests = set()
    for lines in (["path", f"cams/{SLOW}"], ["path,caption", f"cams/{SLOW},a"], ["path,caption", f"cams/{SLOW},b"]):
        (episode,) = episodes("video", write(footage / f"{len(digests)}.csv", *lines))
        digests.add(episode.content_digest)
    assert len(digests) == 3
    (alone,) = episodes("video", footage / "cams" / SLOW)
    assert alone.content_digest in digests


BAD = [
    (f"cams/{SOUP},0,1,a", ""),  # row 2
    ("cams/nowhere.mp4,0,1,a", "row 3, cams/nowhere.mp4: there is no such file"),
    (f"cams/{SOUP},0,1,a", "row 4: this is the same as row 2"),
    (f"cams/{SOUP},0.5,2,a", "row 5: this overlaps row 2: both show second 0.5"),
    (f"cams/{SOUP},3,2,a", "row 6: it ends at 2 s, not after its start at 3 s"),
    (f"cams/{SOUP},-1,2,a", "row 7: 'start' is -1, not a number of seconds"),
    (f"cams/{SOUP},1,nan,a", "row 8: 'end' is nan, not a number of seconds"),
    (f"cams/{SOUP},one,2,a", "row 9: 'start' is 'one', not a number"),
    (f"cams/{SOUP},3,9.5,a", rf"row 10, cams/{SOUP}: 3 s to 9.5 s leaves the video, which ends at 7.350 s"),
    (f"cams/{SLOW},2.01,2.02,a", rf"row 11, cams/{SLOW}: no frame begins between 2.01 s and 2.02 s"),
    (",1,2,a", "row 12: there is no path"),
    ("https://a.example/b.mp4,1,2,a", "row 13: https://a.example/b.mp4 is a URL"),
    ("text.mp4,,,a", "row 14, text.mp4: FFmpeg does not recognise this as a video"),
]


def test_all_bad_rows_are_told_at_once(footage: Path, tmp_path: Path) -> None:
    write(footage / "text.mp4", "this is no video")
    path = write(footage / "list.csv", "path,start,end,caption", *(line for line, _ in BAD))
    with pytest.raises(SourceError) as caught:
        ingest("video", [path], tmp_path / "out", IngestOptions())
    for _, message in BAD[1:]:
        assert message in str(caught.value), message
    assert not (tmp_path / "out").exists()

    manifest = ingest("video", [path], tmp_path / "out", IngestOptions(), on_error="skip", workers=1)
    assert manifest.num_episodes == 1
    assert {skipped.file for skipped in manifest.skipped} == {"list.csv"}
    assert sorted(skipped.episode.split(",")[0] for skipped in manifest.skipped) == sorted(
        f"row {number}" for number in range(3, 15)
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["video,caption", "a.mp4,x"], "a list of videos has one column 'path'"),
        (["path,strat", "a.mp4,1"], "columns strat are not known"),
        (["path,end,end", "a.mp4,1,2"], "columns end are there more than once"),
        (["path,caption", "a.mp4,reach, then grasp"], r"row 2 has 3 cells for 2 columns.*in quotes"),
        (["path"], "the list has no rows"),
        ([""], "a list of videos has one column 'path'"),
        (["path,licence,license", f"cams/{SLOW},CC,MIT"], "row 2: there are two of 'licence': 'CC' and 'MIT'"),
    ],
)
def test_what_is_no_list(footage: Path, lines: Sequence[str], message: str) -> None:
    path = write(footage / "list.csv", *lines)
    with pytest.raises(SourceError, match=message):
        ingest("video", [path], footage / "out", IngestOptions())


def test_rows_that_disagree(footage: Path) -> None:
    lines = [f"cams/{SLOW},a,MIT", f"cams/{SLOW},b,CC-BY-4.0"]
    found = errors("video", write(footage / "list.csv", "path,caption,licence", *lines))
    assert "the same as row 2, of another task, licence, source or url" in found["row 3"]


def test_paths_of_elsewhere_are_not_told(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("lists")
    lines = [str(footage / "cams" / SLOW), os.path.relpath(footage / "cams" / SOUP, folder)]
    found = episodes("video", write(folder / "list.csv", "path", *lines))
    assert [episode.file for episode in found] == [SLOW, SOUP]


def test_a_list_that_changed_is_read_again(footage: Path) -> None:
    path = write(footage / "list.csv", "path", f"cams/{SLOW}")
    assert len(video_list.read_list(path).shots) == 1
    write(path, "path", f"cams/{SLOW}", f"cams/{SOUP}")
    assert len(video_list.read_list(path).shots) == 2


def test_a_video_that_came_later_is_found(footage: Path) -> None:
    path = write(footage / "list.csv", "path", "new.mp4")
    assert "there is no such file" in errors("video", path)["row 2, new.mp4"]
    shutil.copy(footage / "cams" / SLOW, footage / "new.mp4")
    assert len(episodes("video", path)) == 1


def test_a_list_becomes_a_data_set(footage: Path, tmp_path: Path) -> None:
    lines = [f"cams/{SOUP},1,2,reach|grasp,MIT", f"cams/{SLOW},,,tidy up,CC0"]
    path = write(footage / "list.csv", "path,start,end,caption,licence", *lines)
    ingest("video", [path], tmp_path / "out", IngestOptions(), workers=2)
    clips = list(Dataset.open(tmp_path / "out").clips)
    assert [(clip.episode.instructions, clip.episode.attributes["licence"]) for clip in clips] == [
        (("reach", "grasp"), "MIT"),
        (("tidy up",), "CC0"),
    ]
    with pytest.raises(SourceError, match="'main', not front=wrist"):
        describe("video", path, SourceOptions(cameras={"front": "wrist"}))
