"""What the docs and the help promise, held against the commands as they are."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vpdata.cli.app import app as vpdata_app
from vptrain.cli.app import app as vptrain_app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCS = {path: path.read_text() for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]}
APPS = {"vpdata": vpdata_app, "vptrain": vptrain_app}
COMMANDS = {name: typer.main.get_command(app) for name, app in APPS.items()}
VERBS = [(name, verb) for name, command in COMMANDS.items() for verb in command.commands]  # type: ignore[attr-defined]


def blocks(text: str, language: str) -> list[str]:
    """The fenced code blocks of that language."""
    return [body for found, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if found == language]


def commands_in(text: str) -> list[str]:
    """Lines of code blocks that call one of our commands."""
    lines = [line for block in blocks(text, "") for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"(vpdata|vptrain) [a-z]", line)]


def check_command(text: str) -> None:
    """Parses a command line as the command itself would, without running it."""
    name, verb, *arguments = shlex.split(text, comments=True)
    command = COMMANDS[name].commands[verb]  # type: ignore[attr-defined]
    command.make_context(verb, arguments)


def help_of(name: str, verb: str) -> str:
    result = CliRunner().invoke(APPS[name], [verb, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    return result.stdout


def test_there_are_commands() -> None:
    assert ("vpdata", "ingest") in VERBS
    assert ("vptrain", "report") in VERBS


@pytest.mark.parametrize(("name", "verb"), VERBS)
def test_every_command_is_in_the_docs(name: str, verb: str) -> None:
    assert any(f"{name} {verb}" in text for text in DOCS.values())


@pytest.mark.parametrize(("name", "verb"), VERBS)
def test_every_help_has_examples_that_parse(name: str, verb: str) -> None:
    assert "Examples:" in help_of(name, verb)
    command = COMMANDS[name].commands[verb]  # type: ignore[attr-defined]
    examples = re.findall(r"`([^`]+)`", command.epilog or "")
    assert examples
    for example in examples:
        assert example.startswith(f"{name} {verb}")
        check_command(example)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_the_commands_in_the_docs_parse(path: Path) -> None:
    for text in commands_in(DOCS[path]):
        check_command(text)


def test_the_parse_check_notices_a_wrong_option() -> None:
    with pytest.raises(Exception, match="--no-such"):
        check_command("vpdata info data --no-such")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_between_the_docs_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", DOCS[path]):
        assert target.startswith("http") or (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_readme_is_short_and_says_the_two_commands_first() -> None:
    assert len(README.splitlines()) <= 150
    assert [line.split("#")[0].strip() for line in blocks(README, "")[0].splitlines()] == ["make demo", "make test"]
    assert len(commands_in(README)) >= 10


def test_the_readmes_python_prints_what_the_readme_says(
    datasets: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [str(datasets[name]) for name in ("robocasa", "libero", "teleop", "video")]
    options = ["--action-free", "0.7", "--withhold", "teleop", "--out", "runs/demo/mixture.toml"]
    result = CliRunner().invoke(vpdata_app, ["mix", *folders, *options])
    assert result.exit_code == 0, result.output
    (code,) = blocks(README, "python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue() == blocks(README, "text")[-1]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("vpdata", {"numpy", "torch", "av", "typer", "vpdata.errors"}),
        ("vpdata.cli.app", {"torch", "matplotlib", "transformers", "vpdata.sources.robocasa"}),
    ],
)
def test_imports_stay_light(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not absent & set(loaded)
