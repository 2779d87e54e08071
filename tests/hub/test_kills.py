"""SIGKILL at random moments of publishing and pulling: what is seen is never half, and in the end all of it."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hub.conftest import REPO, contents, published, seen
from tests.hub.server import Hub, Request
from vpdata.hub.publish import publish
from vpdata.shards.dataset import Dataset

Run = Callable[..., int]


@pytest.fixture
def run(hub: Hub) -> Iterator[Run]:
    """Runs `vpdata`, and kills it when it has sent so many requests; returns its exit status as `waitpid` does."""
    script = Path(__file__).parent / "forked.py"
    process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(*arguments: object, kill_after: int = 0) -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        pid, count = 0, 0

        def strike(request: Request, before: int) -> None:  # noqa: ARG001
            nonlocal count
            count += 1
            if count == kill_after:
                os.kill(pid, signal.SIGKILL)

        process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        process.stdin.flush()
        pid = int(process.stdout.readline())
        hub.fault = strike  # type: ignore[assignment]
        return int(process.stdout.readline())

    yield start
    process.communicate()
    assert process.returncode == 0


def kills(num_kills: int, num_requests: int) -> list[int]:
    """After how many requests to kill."""
    rng = random.Random(num_kills)
    return [rng.randrange(1, num_requests) for _ in range(num_kills)]


FEW_AND_MANY = [3, pytest.param(20, marks=pytest.mark.slow)]


@pytest.mark.parametrize("num_kills", FEW_AND_MANY)
def test_publishing(hub: Hub, run: Run, kitchen: Path, relabelled: Path, num_kills: int) -> None:
    versions = [Dataset.open(kitchen), Dataset.open(relabelled)]
    publish(versions[0], "user/whole")
    num_requests, num_killed = len(hub.requests), 0
    for number, after in enumerate(kills(num_kills, num_requests)):
        version = versions[number * 2 // num_kills]  # killed while it first appears, then while it changes
        status = run("publish", version.place, "--repo-id", REPO, kill_after=after)
        assert status in (signal.SIGKILL, 0)
        num_killed += status == signal.SIGKILL
        if REPO in hub.repos:
            seen(hub)
    assert num_killed
    for version in versions:
        assert run("publish", version.place, "--repo-id", REPO) == 0
        assert published(hub) == contents(version.path)
    assert set(seen(hub)) == {None, *(version.digest for version in versions)}


@pytest.mark.parametrize("num_kills", FEW_AND_MANY)
def test_pulling(hub: Hub, run: Run, kitchen: Path, tmp_path: Path, num_kills: int) -> None:
    publish(Dataset.open(kitchen), REPO)
    url = f"hf://datasets/{REPO}"
    hub.requests.clear()
    assert run("pull", url, "--out", tmp_path / "whole") == 0
    num_requests = len(hub.requests)
    out = tmp_path / "out"
    num_killed = 0
    for after in kills(num_kills, num_requests):
        status = run("pull", url, "--out", out, kill_after=after)
        num_killed += status == signal.SIGKILL
        if (out / "manifest.json").exists():
            assert contents(out) == contents(kitchen)
            out = tmp_path / f"out-{after}"
    assert num_killed
    hub.requests.clear()
    assert run("pull", url, "--out", out) == 0
    assert contents(out) == contents(kitchen)
