import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpdata.cli.app import app
from vpdata.errors import VpdataError
from vpdata.shards.cache import Cache, block_name


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Ten blocks of a hundred bytes."""
    monkeypatch.setenv("VPDATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VPDATA_CACHE_LIMIT", "2K")
    made = Cache.default()
    for number in range(10):
        made.put(block_name(f"{number:064x}", 0, 100), bytes(100))
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cache", *arguments])


def test_says_where_and_how_much(cache: Cache) -> None:
    assert json.loads(run("--json").stdout) == {
        "folder": str(cache.folder),
        "limit": 2000,
        "num_entries": 10,
        "num_partial": 0,
        "num_bytes": 1000,
    }
    assert "num_bytes" in run().stdout


def test_prunes(cache: Cache) -> None:
    assert json.loads(run("--prune-to", "0.5K", "--json").stdout)["num_bytes"] == 500
    assert cache.usage().num_entries == 5
    assert json.loads(run("--prune-to", "0", "--json").stdout)["num_bytes"] == 0


def test_a_wrong_size_is_our_error(cache: Cache) -> None:
    assert isinstance(run("--prune-to", "much").exception, VpdataError)
    assert cache.usage().num_entries == 10
