"""What lies beside a video says what it shows; patterns of files say which are read."""

import json
import shutil
from pathlib import Path

import pytest
from reading import describe, episodes

from vpdata import sources
from vpdata.errors import SourceError
from vpdata.sources import SourceOptions

SLOW = "libero10_basket_002_5fps.mp4"
FRAME = "libero_object_soup_single_frame.mp4"


@pytest.fixture
def video(recordings: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(recordings / "video" / SLOW, tmp_path / "take.mp4"))


def test_text_and_json_beside_a_video(video: Path) -> None:
    assert episodes("video", video)[0].instructions == ()
    video.with_suffix(".txt").write_text("\ufefftidy up \n\nclean the table\n", encoding="utf-8")
    about = {"instructions": ["tidy up", "put it away"], "license": "MIT", "task": "basket", "url": "", "frames": 3}
    video.with_suffix(".json").write_text(json.dumps(about))
    (episode,) = episodes("video", video)
    assert episode.instructions == ("tidy up", "clean the table", "put it away")
    assert (episode.task, dict(episode.attributes)) == ("basket", {"licence": "MIT"})
    (replaced,) = episodes("video", video, SourceOptions(instruction="go"))
    assert (replaced.instructions, replaced.task) == (("go",), "basket")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("take.txt", b"\xff\xfe", "says nothing that can be read"),
        ("take.json", b"{", "says nothing that can be read"),
        ("take.json", b"[]", "it is no object"),
        ("take.json", b'{"caption": 5}', "'caption' is 5, not a text or a list of texts"),
        ("take.json", b'{"captions": ["a", {"b": 1}]}', "not a text or a list of texts"),
        ("take.json", b'{"licence": true}', "'licence' is true, not a text"),
        ("take.json", b'{"licence": "MIT", "license": "CC0"}', "there are two of 'licence': 'MIT' and 'CC0'"),
    ],
)
def test_what_cannot_be_read_is_refused(video: Path, name: str, data: bytes, message: str) -> None:
    (video.parent / name).write_bytes(data)
    with pytest.raises(SourceError, match=message) as caught:
        describe("video", video)
    assert caught.value.path == str(video.parent / name)


@pytest.fixture
def tree(recordings: Path, tmp_path: Path) -> Path:
    for name in ("cams/day_1/a.mp4", "cams/day_2/a.mp4", "cams/day_10/b.webm", "cams/day_1/.c.mp4", "old/a.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(recordings / "video" / FRAME, tmp_path / name)
    (tmp_path / "cams/day_1/a.csv").write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("cams/*/a.mp4", ["day_1/a.mp4", "day_2/a.mp4"]),
        ("cams/day_?/*", ["day_1/a.mp4", "day_2/a.mp4"]),
        ("cams/day_1*", ["day_1/a.mp4", "day_10/b.webm"]),
        ("**/*.mp4", ["cams/day_1/a.mp4", "cams/day_2/a.mp4", "old/a.mp4"]),
        ("cams/day_[2-9]/*.mp4", ["day_2/a.mp4"]),
    ],
)
def test_patterns(tree: Path, pattern: str, names: list[str]) -> None:
    assert [file.name for file in sources.load("video").find(tree / pattern)] == names


def test_a_pattern_may_match_nothing_or_be_a_name(tree: Path) -> None:
    with pytest.raises(SourceError, match=r"no video among 0 matches of this pattern"):
        sources.load("video").find(tree / "cams" / "night_*")
    with pytest.raises(SourceError, match=r"no video among 1 matches"):
        sources.load("video").find(tree / "cams" / "day_1" / "*.csv")
    odd = Path(shutil.copy(tree / "old/a.mp4", tree / "take[1].mp4"))
    assert [file.name for file in sources.load("video").find(odd)] == ["take[1].mp4"]
    with pytest.raises(SourceError, match="there is no such file or folder"):
        sources.load("video").find(tree / "nowhere")
