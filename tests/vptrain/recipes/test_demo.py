import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from vpdata.cli.app import app as vpdata_app
from vptrain.cli.app import app as vptrain_app
from vptrain.errors import VptrainError
from vptrain.recipes.demo import Step, demo_steps, prepare, run_steps
from vptrain.recipes.memory import PeakMemory

ROOT = Path(__file__).parents[3]
VERSION = Step(arguments=("vpdata", "--version"), makes=None)
FAILING = Step(arguments=("vpdata", "info", "no/such/folder"), makes=None)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    return tmp_path / "demo"


def commands(times_file: Path) -> list[str]:
    return [entry["command"] for entry in json.loads(times_file.read_text())]


def ingest(out: Path) -> Step:
    arguments = ("vpdata", "ingest", "teleop", "tests/recordings/aloha_raw", "--out", str(out / "data"))
    return Step(arguments=arguments, makes=out / "data")


def test_the_commands_parse(out: Path) -> None:
    apps = {"vpdata": typer.main.get_command(vpdata_app), "vptrain": typer.main.get_command(vptrain_app)}
    for step in demo_steps(out):
        name, verb, *arguments = step.arguments
        apps[name].commands[verb].make_context(verb, arguments)  # type: ignore[attr-defined]


def test_what_the_demo_reads_is_there(out: Path) -> None:
    ingests = [step.arguments for step in demo_steps(out) if step.arguments[1] == "ingest"]
    assert len(ingests) == 4
    assert all((ROOT / arguments[3]).is_dir() for arguments in ingests)


def test_steps_run_once_and_are_timed(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    times_file = prepare(out, force=False)
    assert run_steps([ingest(out), VERSION], times_file=times_file) == 0
    assert (out / "data" / "manifest.json").is_file()
    assert commands(times_file) == [ingest(out).command, "vpdata --version"]
    for entry in json.loads(times_file.read_text()):
        assert entry["seconds"] > 0
        assert entry["peak_memory_bytes"] > 1_000_000
    capfd.readouterr()
    before = times_file.read_bytes()
    assert run_steps([ingest(out), VERSION], times_file=prepare(out, force=False)) == 0
    printed = capfd.readouterr().out
    assert printed.count("done before:") == 2
    assert "$" not in printed
    assert times_file.read_bytes() == before


def test_the_first_failure_stops(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    times_file = prepare(out, force=False)
    assert run_steps([VERSION, FAILING, ingest(out)], times_file=times_file) == 1
    assert commands(times_file) == ["vpdata --version"]
    assert not (out / "data").exists()
    assert "failed with exit code 1: vpdata info no/such/folder" in capfd.readouterr().err


def test_an_interrupted_step_starts_afresh(out: Path) -> None:
    times_file = prepare(out, force=False)
    (out / "data").mkdir()
    (out / "data" / "left over").touch()
    assert run_steps([ingest(out)], times_file=times_file) == 0
    assert not (out / "data" / "left over").exists()


def test_what_follows_a_changed_or_vanished_step_runs_again(out: Path) -> None:
    times_file = prepare(out, force=False)
    run_steps([VERSION, ingest(out)], times_file=times_file)
    (out / "data" / "manifest.json").unlink()
    run_steps([VERSION, ingest(out)], times_file=times_file)
    assert not (out / "data" / "manifest.json").exists()  # the folder is there, and so the step is done
    other = Step(arguments=("vpdata", "--help"), makes=None)
    run_steps([other, ingest(out)], times_file=times_file)
    assert (out / "data" / "manifest.json").exists()
    assert commands(times_file) == ["vpdata --help", ingest(out).command]


def test_a_folder_of_something_else_is_refused(out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("…")
    for force in (False, True):
        with pytest.raises(VptrainError, match="not made by the demo"):
            prepare(out, force=force)
    assert (out / "thesis.tex").exists()


def test_force_starts_over(out: Path) -> None:
    run_steps([ingest(out)], times_file=prepare(out, force=False))
    times_file = prepare(out, force=True)
    assert commands(times_file) == []
    assert [path.name for path in out.iterdir()] == ["times.json"]


def test_outside_the_repository_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VptrainError, match="repository's root"):
        prepare(tmp_path / "demo", force=False)


def test_memory_counts_the_children_too() -> None:
    hold = "held = bytearray(b'x') * 150_000_000; print('held', flush=True); input()"
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {hold!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n" + hold + "\nchild.communicate(b'\\n')"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with PeakMemory(process.pid) as peak:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        give_up = time.monotonic() + 60
        while peak.num_bytes < 300_000_000 and time.monotonic() < give_up:
            time.sleep(0.05)
        process.communicate(b"\n")
    assert process.returncode == 0
    assert 300_000_000 < peak.num_bytes < 400_000_000


def test_damaged_times_are_said(out: Path) -> None:
    times_file = prepare(out, force=False)
    times_file.write_text("[{")
    with pytest.raises(VptrainError, match=r"times\.json: the times cannot be read .* Start over with --force"):
        run_steps([VERSION], times_file=times_file)


def test_a_file_is_no_folder(out: Path) -> None:
    out.write_text("mine")
    with pytest.raises(VptrainError, match="this folder was not made by the demo"):
        prepare(out, force=True)
    assert out.read_text() == "mine"


def test_an_interrupt_ends_it_after_its_step(out: Path) -> None:
    command = [sys.executable, "-m", "vptrain.recipes.demo", "--out", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        assert demo.stdout is not None
        while "$ vpdata ingest" not in (line := demo.stdout.readline()):
            assert line, "it ended before its first step"
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does, to the step too
        _, stderr = demo.communicate()
    assert demo.returncode == 130
    assert "stopped; the same command goes on" in stderr
    assert commands(out / "times.json") == []
