"""Repairs of data sets that a real ingest made and that were really damaged: by bits, cuts, losses and kills."""

import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vpdata.errors import ShardError, VpdataError
from vpdata.ingest import IngestOptions, ingest
from vpdata.schema import Clip
from vpdata.shards.dataset import Dataset
from vpdata.shards.manifest import read_manifest
from vpdata.shards.repair import Diagnosis, examine, repair
from vpdata.shards.replacement import finish_interrupted
from vpdata.shards.validate import validate

OPTIONS = IngestOptions(clip_starts=40, window_span=32, shard_frames=800)


@pytest.fixture(scope="module")
def whole(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of several clips each. To be read only."""
    out = tmp_path_factory.mktemp("whole") / "out"
    manifest = ingest("robocasa", [recordings / "robocasa"], out, OPTIONS, workers=2)
    assert len(manifest.shards) == 3
    return out


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A data set that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 4]))


def mended(folder: Path) -> Diagnosis:
    """Repairs in place, and requires that the result is whole and that the lost window starts are named."""
    before = (
        {(c.episode.content_digest, c.span.start): c for c in Dataset.open(folder).clips} if has_index(folder) else {}
    )
    diagnosis = examine(folder)
    repair(diagnosis)
    assert validate(folder, decode=True).problems == ()
    assert examine(folder).is_whole
    after = Dataset.open(folder)
    kept = {(clip.episode.content_digest, clip.span.start) for clip in after.clips}
    named = {(clip.content_digest, clip.start_frame) for clip in after.manifest.dropped}
    assert before.keys() <= kept | named
    assert not kept & named
    return diagnosis


def has_index(folder: Path) -> bool:
    try:
        Dataset.open(folder)
    except ShardError:
        return False
    return True


def test_a_whole_data_set_stays_as_it_is(whole: Path, copy: Path, tmp_path: Path) -> None:
    diagnosis = examine(copy)
    assert diagnosis.is_whole
    repair(diagnosis)
    assert contents(copy) == contents(whole)
    repair(diagnosis, out=tmp_path / "out")
    assert contents(tmp_path / "out") == contents(whole)


def test_a_damaged_member_costs_its_clip_and_no_other(whole: Path, copy: Path) -> None:
    clip = Dataset.open(copy).clips[1]
    flip(copy / clip.shard, clip.members[0].offset + 200)
    others = {path.name: path.stat().st_ino for path in copy.glob("*.tar") if path.name != clip.shard}
    diagnosis = mended(copy)
    (dropped,) = diagnosis.dropped
    assert (dropped.key, dropped.start_frame, dropped.num_starts) == (clip.key, clip.span.start, clip.span.num_starts)
    assert dropped.reason == "actions.npy is damaged (its CRC-32 is not the index's)."
    assert diagnosis.num_starts_lost == clip.span.num_starts
    after = Dataset.open(copy)
    assert [c.key for c in after.clips] == [c.key for c in Dataset.open(whole).clips if c.key != clip.key]
    assert {path.name: path.stat().st_ino for path in copy.glob("*.tar") if path.name in others} == others
    stem = Path(clip.shard).stem
    assert [name for name in sorted(contents(copy)) if name not in contents(whole)] == [
        after.manifest.index.name,
        f"{stem}-r{after.manifest.shards[0].sha256[:8]}.tar",
    ]
    assert clip.shard not in contents(copy)


def test_statistics_and_counts_are_those_of_what_is_left(copy: Path) -> None:
    clip = Dataset.open(copy).clips[4]
    flip(copy / clip.shard, clip.members[0].offset + 200)
    mended(copy)
    after = Dataset.open(copy)
    rows = [after.actions(c)[: c.span.num_starts] for c in after.clips if c.num_actions]  # type: ignore[index]
    values = np.concatenate(rows).astype(np.float64)
    statistics = after.manifest.statistics["robocasa_panda_omron_action"]
    assert statistics.count == len(values)
    np.testing.assert_allclose(statistics.mean, values.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(statistics.std, values.std(axis=0), atol=1e-12)
    assert statistics.max == tuple(values.max(axis=0))
    starts = sum(c.span.num_starts for c in after.clips)
    assert after.manifest.duration_seconds == pytest.approx(starts / 20)
    assert after.manifest.num_clips == len(after.clips)


def test_what_is_around_the_data_is_restored_to_the_byte(whole: Path, copy: Path) -> None:
    """Headers, padding and the end follow from the index, so that nothing is lost: the very data set comes back."""
    clips = Dataset.open(copy).clips
    for clip in clips[0], clips[3]:
        flip(copy / clip.shard, clip.members[0].offset - 300)
        flip(copy / clip.shard, clip.members[1].offset + clip.members[1].size)
    shard = copy / clips[-1].shard
    os.truncate(shard, shard.stat().st_size - 1024)
    assert mended(copy).dropped == ()
    assert contents(copy) == contents(whole)


def test_a_truncated_shard_keeps_the_clips_before_the_cut(copy: Path) -> None:
    clips = Dataset.open(copy).clips
    first = [clip for clip in clips if clip.shard == clips[0].shard]
    os.truncate(copy / clips[0].shard, first[2].members[3].offset + 10)
    diagnosis = mended(copy)
    assert [dropped.key for dropped in diagnosis.dropped] == [clip.key for clip in first[2:]]
    assert "is cut off after 10 of" in diagnosis.dropped[0].reason


def test_a_missing_shard(copy: Path) -> None:
    clips = Dataset.open(copy).clips
    shard = clips[-1].shard
    (copy / shard).unlink()
    diagnosis = mended(copy)
    assert [d.key for d in diagnosis.dropped] == [clip.key for clip in clips if clip.shard == shard]
    assert {d.reason for d in diagnosis.dropped} == {"the shard is missing."}
    assert shard not in {info.name for info in read_manifest(copy)[0].shards}


def test_processes_find_what_one_finds(copy: Path) -> None:
    for info in read_manifest(copy)[0].shards:
        os.truncate(copy / info.name, info.size - 1024)
    assert validate(copy, workers=3) == validate(copy)


def test_a_second_repair_adds_to_the_first(copy: Path) -> None:
    for row in (0, 2):
        clip = Dataset.open(copy).clips[row]
        flip(copy / clip.shard, clip.members[0].offset + 200)
        mended(copy)
    manifest = read_manifest(copy)[0]
    assert len(manifest.dropped) == 2
    assert sum(name.count("-r") for name in contents(copy)) == 2  # one shard and the index, not one more each time
    assert all(name.count("-r") <= 1 for name in contents(copy))


def test_a_hole_that_is_not_named_is_still_found(copy: Path) -> None:
    clip = Dataset.open(copy).clips[1]
    flip(copy / clip.shard, clip.members[0].offset + 200)
    mended(copy)
    manifest = read_manifest(copy)[0]
    (copy / "manifest.json").write_bytes(replace(manifest, dropped=()).to_bytes())
    (problem,) = validate(copy).problems
    assert "does not begin where the episode's last clip ends" in problem.what


def test_out_links_what_is_sound_and_leaves_the_rest(copy: Path, tmp_path: Path) -> None:
    clip = Dataset.open(copy).clips[1]
    flip(copy / clip.shard, clip.members[0].offset + 200)
    before = contents(copy)
    out = tmp_path / "new" / "out"
    diagnosis = examine(copy)
    manifest = repair(diagnosis, out=out)
    assert contents(copy) == before
    assert validate(out, decode=True).problems == ()
    for info in manifest.shards[1:]:
        assert (out / info.name).samefile(copy / info.name)
    repair(diagnosis, out=out)  # the same again changes nothing
    repair(diagnosis)
    assert contents(out) == contents(copy)
    with pytest.raises(ShardError, match="holds other files"):
        repair(diagnosis, out=tmp_path)


def test_an_index_is_made_again_from_the_shards(whole: Path, copy: Path) -> None:
    (copy / "index.parquet").write_bytes(b"nothing")
    diagnosis = mended(copy)
    assert diagnosis.dropped == diagnosis.unvouched == ()
    assert contents(copy) == contents(whole)


def test_without_an_index_nothing_vouches_for_a_changed_shard(copy: Path) -> None:
    clips = Dataset.open(copy).clips
    (copy / "index.parquet").unlink()
    flip(copy / clips[0].shard, clips[0].members[2].offset - 300)  # a header
    flip(copy / clips[-1].shard, clips[-1].members[2].offset + 500)  # data
    diagnosis = mended(copy)
    assert diagnosis.unvouched == (clips[0].shard, clips[-1].shard)
    (dropped,) = diagnosis.dropped
    assert (dropped.key, dropped.start_frame, dropped.num_starts) == ("", 0, clips[0].span.num_starts)


def test_without_a_manifest_the_index_still_finds_damage(copy: Path) -> None:
    clip = Dataset.open(copy).clips[1]
    (copy / "manifest.json").write_bytes(b"{")
    flip(copy / clip.shard, clip.members[0].offset + 200)
    diagnosis = examine(copy)
    repair(diagnosis)
    assert [dropped.key for dropped in diagnosis.dropped] == [clip.key]
    assert diagnosis.unvouched == ()
    assert validate(copy, decode=True).problems == ()


def test_without_manifest_and_index(whole: Path, copy: Path) -> None:
    (copy / "manifest.json").unlink()
    (copy / "index.parquet").unlink()
    diagnosis = mended(copy)
    assert len(diagnosis.unvouched) == 3
    old, new = Dataset.open(whole), Dataset.open(copy)
    assert tuple(new.clips) == tuple(old.clips)
    assert new.manifest.statistics == old.manifest.statistics


def test_nothing_left_is_an_error(copy: Path, tmp_path: Path) -> None:
    for shard in copy.glob("*.tar"):
        os.truncate(shard, 100)
    with pytest.raises(ShardError, match="nothing is left"):
        examine(copy)
    (copy / "index.parquet").unlink()
    with pytest.raises(ShardError, match="nothing is left"):
        examine(copy)
    with pytest.raises(ShardError, match="no data set here"):
        examine(tmp_path)


def test_a_data_set_of_another_version_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_bytes())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))
    with pytest.raises(ShardError, match="format version 99"):
        examine(copy)


def test_a_data_set_that_changed_since_it_was_examined(copy: Path) -> None:
    (copy / Dataset.open(copy).clips[0].shard).unlink()
    diagnosis = examine(copy)
    (copy / "manifest.json").write_bytes((copy / "manifest.json").read_bytes() + b" ")
    before = contents(copy)
    with pytest.raises(ShardError, match="changed since it was examined"):
        repair(diagnosis)
    assert contents(copy) == before


def test_ingest_does_not_take_a_repaired_data_set_for_its_own(recordings: Path, copy: Path) -> None:
    (copy / Dataset.open(copy).clips[0].shard).unlink()
    mended(copy)
    with pytest.raises(ShardError, match="a repair has since dropped 4 damaged clips"):
        ingest("robocasa", [recordings / "robocasa"], copy, OPTIONS)


REPAIRER = """
import json, os, signal, sys, traceback
from pathlib import Path
from vpdata.shards.repair import examine, repair

def work(step, folder, out=None):
    remaining = step
    def hook(event, args):
        nonlocal remaining
        if event in ("os.rename", "os.remove", "os.link", "os.rmdir"):
            remaining -= 1
            if remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    diagnosis = examine(Path(folder))
    sys.addaudithook(hook)
    repair(diagnosis, out=out and Path(out))

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            work(*json.loads(line))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def repairer() -> Iterator[subprocess.Popen[str]]:
    """Repairs in processes of their own, which kill themselves at their n-th change of the disk."""
    process = subprocess.Popen(
        [sys.executable, "-c", REPAIRER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.communicate()


def killed(repairer: subprocess.Popen[str], step: int, *folders: Path) -> bool:
    """Whether a repair reached its step-th change of the disk and was killed there; False once it gets through."""
    assert repairer.stdin is not None
    assert repairer.stdout is not None
    print(json.dumps([step, *map(str, folders)]), file=repairer.stdin, flush=True)
    code = int(repairer.stdout.readline())
    assert code in (0, -signal.SIGKILL)
    return code != 0


def damage(folder: Path) -> Clip:
    clip = Dataset.open(folder).clips[1]
    flip(folder / clip.shard, clip.members[0].offset + 200)
    return clip


def test_killed_at_every_step_in_place(whole: Path, repairer: subprocess.Popen[str], tmp_path: Path) -> None:
    reference = Path(shutil.copytree(whole, tmp_path / "reference"))
    damage(reference)
    repair(examine(reference))
    digests = []
    for step in range(1, 60):
        folder = Path(shutil.copytree(whole, tmp_path / "copy"))
        lost = damage(folder)
        if not killed(repairer, step, folder):
            assert contents(folder) == contents(reference)
            break
        dataset = Dataset.open(folder)  # the old one or the new one, and all of it but the damage can be read
        for clip in dataset.clips:
            if clip.key != lost.key:
                assert dataset.actions(clip) is not None
        digests.append(dataset.digest)
        finish_interrupted(folder)
        repair(examine(folder))
        assert contents(folder) == contents(reference)
        shutil.rmtree(folder)
    old, new = Dataset.open(whole).digest, Dataset.open(reference).digest
    first_new = digests.index(new)
    assert digests == [old] * first_new + [new] * (len(digests) - first_new)
    assert 5 < first_new < len(digests) - 3


def test_killed_at_every_step_beside(whole: Path, repairer: subprocess.Popen[str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "copy"))
    damage(folder)
    repair(examine(folder), out=tmp_path / "reference")
    for step in range(1, 60):
        out = tmp_path / "out"
        if not killed(repairer, step, folder, out):
            assert contents(out) == contents(tmp_path / "reference")
            break
        if (out / "manifest.json").exists():
            assert {path.name for path in out.iterdir()} - {".repair"} == set(contents(tmp_path / "reference"))
        else:
            with pytest.raises(ShardError, match=r"repair. again|Make one with"):
                Dataset.open(out)
        finish_interrupted(out)
        repair(examine(folder), out=out)
        assert contents(out) == contents(tmp_path / "reference")
        shutil.rmtree(out)
    assert step > 10


def test_a_full_disk_changes_nothing(copy: Path) -> None:
    """RLIMIT_FSIZE fails a write for real, as a full disk or quota would."""
    damage(copy)
    before = contents(copy)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = vpdata(copy, "--yes", preexec_fn=limit)
    assert done.returncode == 1
    assert "cannot write (File too large)" in done.stderr
    assert contents(copy) == before


def test_two_repairs_at_once(copy: Path) -> None:
    damage(copy)
    diagnosis = examine(copy)
    (copy / ".repair").mkdir()
    with (copy / ".repair" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(VpdataError, match="another repair is at work here"):
            repair(diagnosis)
    repair(diagnosis)  # the lock file is still there, its owner is gone
    assert validate(copy).problems == ()


def vpdata(*arguments: str | Path, preexec_fn: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vpdata", "repair", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, preexec_fn=preexec_fn
    )


def test_the_command(copy: Path) -> None:
    lost = damage(copy)
    before = contents(copy)
    planned = vpdata(copy, "--dry-run", "--json")
    assert planned.returncode == 0
    result = json.loads(planned.stdout)
    assert (result["dropped_clips"], result["lost_starts"], result["written"]) == (1, lost.span.num_starts, False)
    assert result["dropped"][0]["key"] == lost.key
    assert f"dropped {lost.key}" in planned.stderr
    assert vpdata(copy).returncode == 1  # nobody said yes
    assert contents(copy) == before
    assert vpdata(copy, "--yes", "--decode").returncode == 0
    assert validate(copy).problems == ()
    again = vpdata(copy, "--yes")
    assert again.returncode == 0
    assert "there is nothing to repair" in again.stderr


def test_the_command_says_loudly_what_cannot_be_vouched_for(copy: Path, tmp_path: Path) -> None:
    (copy / "manifest.json").unlink()
    (copy / "index.parquet").unlink()
    done = vpdata(copy, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert "NOTHING VOUCHES FOR THE BYTES of shard-00000.tar, shard-00001.tar, shard-00002.tar" in done.stderr
    assert validate(tmp_path / "out").problems == ()
