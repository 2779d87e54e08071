from pathlib import Path

import numpy as np
import pytest

from vpdata.shards.staging import Journal, Staging
from vpdata.shards.tar import write_shard
from vpdata.stats import ArrayStatistics

NAME = "shard-00000.tar"


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    """With one finished shard."""
    staging = Staging(tmp_path / "out")
    staging.folder.mkdir(parents=True)
    written = write_shard(staging.folder / NAME, [("a-00000", {"json": b"{}", "wrist.mp4": bytes(700)})])
    statistics = {"space": ArrayStatistics.of(np.arange(6).reshape(3, 2))}
    journal = Journal(
        key="key", size=written.size, sha256=written.sha256, members=written.members, statistics=statistics
    )
    staging.record(NAME, journal)
    assert staging.journal(NAME) == journal
    return staging


def test_a_finished_shard_is_kept_for_its_key_only(staging: Staging) -> None:
    assert staging.finished(NAME, key="key") == staging.journal(NAME)
    assert staging.finished(NAME, key="another") is None
    assert not list(staging.folder.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("name", [NAME, f"{NAME}.json"])
def test_what_a_machine_that_went_down_lost_is_made_again(staging: Staging, name: str, share: float) -> None:
    path = staging.folder / name
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert staging.finished(NAME, key="key") is None
    assert not list(staging.folder.iterdir())


def test_zeros_that_a_machine_left_are_found(staging: Staging) -> None:
    for name in (NAME, f"{NAME}.json"):
        before = {path.name: path.read_bytes() for path in staging.folder.iterdir()}
        (staging.folder / name).write_bytes(bytes(len(before[name])))
        assert staging.finished(NAME, key="key") is None
        for path, data in before.items():
            (staging.folder / path).write_bytes(data)
        assert staging.finished(NAME, key="key") is not None
