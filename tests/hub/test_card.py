"""The card: what it says, what of it survives, and that `datasets` reads what it promises."""

import io
import re
from pathlib import Path

import datasets as hf
import numpy as np
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from tests.hub.conftest import LICENCE, REPO
from tests.hub.server import Hub
from vpdata.hub.block import BEGIN, END
from vpdata.hub.publish import publish
from vpdata.ingest import IngestOptions, ingest
from vpdata.sets.labels import Labels
from vpdata.sets.operations import merge, relabel
from vpdata.sets.write import write
from vpdata.shards.dataset import Dataset


def front_matter(card: str) -> dict[str, object]:
    value: dict[str, object] = DatasetCard(card).data.to_dict()
    return value


def card_of(hub: Hub) -> str:
    return hub.files(REPO)["README.md"].decode()


def test_it_says_what_the_data_set_holds(hub: Hub, kitchen: Path) -> None:
    dataset = Dataset.open(kitchen)
    publish(dataset, REPO)
    card = card_of(hub)
    front = front_matter(card)
    assert front["license"] == LICENCE
    assert front["task_categories"] == ["robotics"]
    assert {"robotics", "webdataset", "video"} <= set(front["tags"])  # type: ignore[call-overload]
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "shard-*.tar"}]}]
    for text in (
        "4 episodes in 40 video clips",
        "| wrist | 128 × 128 | 40 |",
        "| 0 | delta_x | 0.05 m |",
        "| CloseDrawer | 3 | 30 |",
        "* close the right drawer",
        "| robocasa | CC BY 4.0 | 4 |",
        dataset.digest,
    ):
        assert text in card
    for path in re.findall(r"!\[\w+\]\((.+?)\)", card):
        image = Image.open(io.BytesIO(hub.files(REPO)[path]))
        assert image.width >= 800
        assert len(image.convert("L").getcolors() or ()) > 10


def test_what_people_wrote_survives(hub: Hub, kitchen: Path, relabelled: Path) -> None:
    hub.create(REPO)
    theirs = "---\nlanguage:\n- de\ntags:\n- drawers\nlicense: mit\n---\n# Drawers\n\nBy hand.\n"
    hub.commit(REPO, {"README.md": theirs.encode()})
    publish(Dataset.open(kitchen), REPO)
    card = card_of(hub)
    assert "# Drawers\n\nBy hand." in card.partition(BEGIN)[0]
    front = front_matter(card)
    assert (front["language"], front["license"]) == (["de"], LICENCE)
    assert front["tags"] == ["drawers", "robotics", "video", "webdataset", "vpdata"]
    edited = card.replace("By hand.", "By hand, again.").replace("40 video clips", "41 video clips") + "\n## Thanks\n"
    hub.commit(REPO, {"README.md": edited.encode()})
    publish(Dataset.open(relabelled), REPO)
    above, _, rest = card_of(hub).partition(BEGIN)
    block, _, below = rest.partition(END)
    assert "By hand, again." in above
    assert below.endswith("\n## Thanks\n")
    assert "* shut it" in block
    assert "40 video clips" in block
    assert "drawer" not in block.partition("They are told")[2].partition("##")[0]


def test_citations(hub: Hub, kitchen: Path, tmp_path: Path) -> None:
    labels = Labels(attributes={"citation": "Doe, Drawers, 2026", "url": "https://example.org/drawers"})
    write(relabel(Dataset.open(kitchen), labels), tmp_path / "cited")
    publish(Dataset.open(tmp_path / "cited"), REPO)
    assert "Please cite:\n\n* Doe, Drawers, 2026\n" in card_of(hub)
    assert "Where from:\n\n* https://example.org/drawers\n" in card_of(hub)


@pytest.fixture
def mixed(kitchen: Path, recordings: Path, tmp_path: Path) -> Path:
    """Another camera of two sizes, and clips without actions, first in the order."""
    files = [recordings / "video" / f"libero_object_soup_00{name}.mp4" for name in ("0", "8_odd_95x127_yuv444")]
    ingest("video", files, tmp_path / "video", IngestOptions(clip_starts=40, window_span=32), workers=1)
    write(merge([Dataset.open(tmp_path / "video"), Dataset.open(kitchen)]), tmp_path / "mixed")
    return tmp_path / "mixed"


def test_datasets_streams_it(hub: Hub, kitchen: Path, mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf.config, "HF_ENDPOINT", hub.url)
    for name, folder in (("kitchen", kitchen), ("mixed", mixed)):
        dataset = Dataset.open(folder)
        publish(dataset, f"user/{name}", licence=LICENCE)
        rows = hf.load_dataset(f"user/{name}", split="train", streaming=True)
        for column, feature in list(rows.features.items()):
            if isinstance(feature, hf.Video):
                rows = rows.cast_column(column, hf.Video(decode=False))
        found = list(rows)
        assert [row["__key__"] for row in found] == [clip.key for clip in dataset.clips]
        for row, clip in zip(found, dataset.clips, strict=True):
            actions = dataset.actions(clip)
            if actions is None:
                assert row["actions.npy"] is None
            else:
                np.testing.assert_array_equal(np.array(row["actions.npy"]), actions)
            for camera in clip.episode.cameras:
                assert row[f"{camera.name}.mp4"]["bytes"] == dataset.read(clip, f"{camera.name}.mp4")
            assert row["json"]["start_frame"] == clip.span.start
    assert any(row["actions.npy"] is None for row in found)
