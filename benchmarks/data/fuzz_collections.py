"""Files that list or hold videos, for the fuzz run: CSV, Parquet, WebDataset tars.

Enters: videos of `tests/recordings`. Leaves: a `Subject` for each.
"""

import io
import tarfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data.fuzz_formats import Subject
from benchmarks.data.recorded import RECORDINGS

SOUP, FRAME = "libero_object_soup_000.mp4", "libero_object_soup_single_frame.mp4"
COLUMNS = ("path", "start", "end", "caption", "licence")
ROWS = (
    (SOUP, 0.0, 0.5, "reach for the soup", "MIT"),
    (SOUP, 0.5, 1.0, "grasp the soup", "MIT"),
    (FRAME, None, None, "the soup", "CC-BY-4.0"),
)


def collections_of_videos() -> Iterator[Subject]:
    """Lists beside their videos, and files that hold them."""
    videos = {name: (RECORDINGS / "video" / name).read_bytes() for name in (SOUP, FRAME)}
    lines = (COLUMNS, *(["" if cell is None else cell for cell in row] for row in ROWS))
    csv = "".join(",".join(map(str, line)) + "\n" for line in lines).encode()
    yield Subject(name="list.csv", source="video", files=videos | {"list.csv": csv}, file="list.csv", given="list.csv")
    listed = _parquet({name: [row[place] for row in ROWS] for place, name in enumerate(COLUMNS)})
    files = videos | {"list.parquet": listed}
    yield Subject(name="list.parquet", source="video", files=files, file="list.parquet", given="list.parquet")
    members = {
        "soup.mp4": videos[SOUP],
        "soup.txt": b"reach for the soup\ngrasp the soup\n",
        "frame.mp4": videos[FRAME],
        "frame.json": b'{"caption": "the soup", "licence": "MIT"}',
    }
    tar = _tar(members)
    yield Subject(name="tar of videos", source="video", files={"00000.tar": tar}, file="00000.tar", given="00000.tar")
    held = _parquet({"video": list(videos.values()), "caption": ["reach for the soup", "the soup"]})
    yield Subject(
        name="Parquet of videos",
        source="video",
        files={"train.parquet": held},
        file="train.parquet",
        given="train.parquet",
        summed=tuple(videos.values()),
    )


def _parquet(columns: dict[str, list[object]]) -> bytes:
    """Pages are not compressed and have checksums."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="none", write_page_checksum=True, use_dictionary=False)
    return buffer.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
