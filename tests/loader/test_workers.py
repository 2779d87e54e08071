"""Workers that die, hang or misbehave; processes are real, and so are the signals."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from streams import SPEC, copy_of, fingerprints

from vpdata.errors import LoaderError
from vpdata.loader import jobs
from vpdata.loader.loader import load
from vpdata.loader.process import Method
from vpdata.loader.window import WindowArrays
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset


def no_zombies() -> bool:
    return not [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_killed_workers_are_replaced_and_nothing_changes(
    mixture: Mixture, expected: list[str], caplog: pytest.LogCaptureFixture, method: Method
) -> None:
    killed = set()
    got = []
    with load(mixture, SPEC, batch_size=4, start=0, stop=32, num_workers=2, method=method) as loader:
        for number, batch in enumerate(loader):
            got += fingerprints([batch])
            if number % 3 == 0:
                for pid in loader.worker_pids[: 1 + number % 2]:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
        assert killed.isdisjoint(loader.worker_pids)
        assert no_zombies()
    assert got == expected
    assert len(killed) >= 3
    assert "A loader worker was killed (signal 9) at position" in caplog.text


def test_a_worker_that_is_stopped_is_noticed_and_replaced(
    mixture: Mixture, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with load(mixture, SPEC, batch_size=4, start=0, stop=32, num_workers=2, timeout_seconds=4) as loader:
        got = fingerprints([next(loader)])
        stopped = loader.worker_pids[0]
        os.kill(stopped, signal.SIGSTOP)
        got += fingerprints(loader)
    assert got == expected
    assert not psutil.pid_exists(stopped)
    assert "did not answer for 4 s at position" in caplog.text
    assert no_zombies()


def test_a_window_that_ends_every_worker_ends_the_run(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    """Reading blocks: the shard is a pipe that nobody writes to."""
    pool = copy_of(datasets, tmp_path, "robocasa")
    mixture = make_mixture(pool, file=tmp_path / "mix.toml")
    shard = tmp_path / "robocasa" / pool["robocasa"].clips[0].shard
    shard.unlink()
    os.mkfifo(shard)
    loader = load(mixture, SPEC, batch_size=2, start=6, num_workers=1, timeout_seconds=1)
    with pytest.raises(LoaderError, match="position 6 ended 3 loader workers; the last one did not answer") as caught:
        next(loader)
    ref = mixture.locate(6)
    assert caught.value.episode == pool["robocasa"].clips[ref.clip].key
    assert "resume at position 6." in str(caught.value)
    assert loader.worker_pids == ()
    assert no_zombies()


def test_windows_before_a_failing_one_are_delivered(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    pool = copy_of(datasets, tmp_path, "robocasa", "video")
    mixture = make_mixture(pool, file=tmp_path / "mix.toml")
    order = [mixture.locate(t).dataset for t in range(200)]
    first = next(t for t in range(2, 200) if order[t] == 0 and 0 not in order[t - 2 : t])
    shard = tmp_path / "robocasa" / pool["robocasa"].clips[0].shard
    shard.unlink()
    loader = load(mixture, SPEC, batch_size=1, start=first - 2, num_workers=2)
    assert [batch.position for batch in itertools.islice(loader, 2)] == [first - 2, first - 1]
    with pytest.raises(Exception, match="the shard is missing"):
        next(loader)
    with pytest.raises(StopIteration):
        next(loader)


def test_a_bug_keeps_its_type_and_its_traceback(mixture: Mixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(*_: object, **__: object) -> None:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(jobs, "read_window", buggy)  # which a forked worker inherits
    loader = load(mixture, SPEC, batch_size=2, start=0, num_workers=1, method="fork")
    with pytest.raises(ZeroDivisionError, match="deep inside") as caught:
        next(loader)
    assert any("in buggy" in note for note in caught.value.__notes__)


def test_of_windows_done_together_the_one_that_ends_workers_is_blamed(
    mixture: Mixture, expected: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deadly = mixture.locate(14)
    places = [(ref.dataset, ref.clip, ref.start) for ref in map(mixture.locate, range(24))]
    assert places.count((deadly.dataset, deadly.clip, deadly.start)) == 1
    key = mixture.datasets[deadly.dataset].clips[deadly.clip].key
    sound = jobs.read_window

    def killing(dataset: Dataset, clip: Clip, start: int, *rest: Any, **more: Any) -> WindowArrays:
        if (clip.key, start) == (key, deadly.start):
            os.kill(os.getpid(), signal.SIGKILL)
        return sound(dataset, clip, start, *rest, **more)

    monkeypatch.setattr(jobs, "read_window", killing)  # which a forked worker inherits
    loader = load(mixture, SPEC, batch_size=12, start=0, num_workers=3, method="fork")
    got = fingerprints([next(loader)])
    with pytest.raises(LoaderError, match=r"position 14 ended 3 loader workers; the last one was killed"):
        next(loader)
    assert got == expected[:12]
    assert "at position 12 (" in caplog.text
    assert "or the 3 after it; another one loads again" in caplog.text


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_end_when_their_parent_is_killed(datasets: Mapping[str, Path], method: str) -> None:
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from streams import SPEC
from vpdata.loader.loader import load
from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset
mixture = make_mixture({{"r": Dataset.open({str(datasets["robocasa"])!r})}}, file=Path("mix.toml"))
loader = load(mixture, SPEC, batch_size=2, start=0, num_workers=2, method={method!r})
next(loader)
print(*loader.worker_pids, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        workers[0].suspend()  # a hanging one has to go as well
        process.kill()
    deadline = time.monotonic() + 60
    while any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_imports_no_torch_and_not_the_users_script(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    """The script has no `if __name__ == "__main__"`, and says what its workers have mapped."""
    script = tmp_path / "script.py"
    script.write_text(f"""
from pathlib import Path
import torch
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from streams import SPEC
from vpdata.loader.loader import load
from vpdata.mixture.make import make_mixture
from vpdata.shards.dataset import Dataset
print("once", flush=True)
mixture = make_mixture({{"r": Dataset.open({str(datasets["robocasa"])!r})}}, file=Path("mix.toml"))
with load(mixture, SPEC, batch_size=2, start=0, stop=8, num_workers=1) as loader:
    for batch in loader:
        (pid,) = loader.worker_pids
        print("torch" if "libtorch" in Path(f"/proc/{{pid}}/maps").read_text() else "no torch")
""")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n") == ["once", *["no torch"] * 4, ""]
