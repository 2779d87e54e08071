import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from vpdata.shards.tar import write_shard

CLIPS: list[tuple[str, Mapping[str, bytes]]] = [
    ("b-00000", {"wrist.mp4": b"w" * 1000, "json": b"{}\n", "actions.npy": b""}),
    ("a" * 95 + "-00001", {"wrist.mp4": bytes(512), "json": b"[]"}),
]


def test_members_lie_where_the_result_says(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    written = write_shard(path, CLIPS)
    data = path.read_bytes()
    assert (written.size, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    for (_, contents), members in zip(CLIPS, written.members, strict=True):
        assert [member.name for member in members] == sorted(contents)
        for member in members:
            assert data[member.offset : member.offset + member.size] == contents[member.name]
            assert member.crc32 == zlib.crc32(contents[member.name])


def test_python_and_plain_tar_agree_with_what_went_in(tmp_path: Path) -> None:
    write_shard(tmp_path / "shard.tar", CLIPS)
    with tarfile.open(tmp_path / "shard.tar") as tar:
        found = {info.name: (tar.extractfile(info) or io.BytesIO()).read() for info in tar}
        assert all((info.mtime, info.uid, info.gid, info.mode, info.uname) == (0, 0, 0, 0o644, "") for info in tar)
    assert found == {f"{key}.{name}": data for key, contents in CLIPS for name, data in contents.items()}


def test_the_order_of_members_does_not_matter(tmp_path: Path) -> None:
    turned = [(key, dict(reversed(contents.items()))) for key, contents in CLIPS]
    assert write_shard(tmp_path / "a.tar", CLIPS) == write_shard(tmp_path / "b.tar", turned)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_an_error_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[tuple[str, Mapping[str, bytes]]]:
        yield CLIPS[0]
        raise RuntimeError("camera fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        write_shard(tmp_path / "shard.tar", failing())
    assert not list(tmp_path.iterdir())
