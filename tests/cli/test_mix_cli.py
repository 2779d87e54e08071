import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpdata.cli.app import app
from vpdata.errors import MixtureError
from vpdata.mixture.mixture import Mixture


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["mix", *map(str, arguments)])


@pytest.fixture
def made(datasets: Mapping[str, Path], tmp_path: Path) -> tuple[list[object], Path]:
    """A command line that makes a mixture, and the file that it makes."""
    out = tmp_path / "manifests" / "mix.toml"
    return [datasets["robocasa"], datasets["video"], "--action-free", "0.7", "--out", out], out


def test_makes_a_mixture_and_says_what_a_run_sees(made: tuple[list[object], Path]) -> None:
    arguments, out = made
    result = run(*arguments, "--json", "--samples", 1000)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["action_free_realised"] == 700
    assert [c["name"] for c in report["components"]] == ["robocasa/labelled", "video/action-free"]
    assert report["digest"] == Mixture.open(out).digest
    assert all(source["held_out"] for source in report["sources"])
    assert json.loads(run("--show", out, "--json", "--samples", 1000).stdout) == report


def test_shows_a_mixture_as_tables(made: tuple[list[object], Path]) -> None:
    arguments, out = made
    run(*arguments)
    result = run("--show", out, "--samples", 100)
    assert result.exit_code == 0, result.output
    for text in ("robocasa/labelled", "video/action-free", "70.00%", "70 of 100", "demo_"):
        assert text in result.stdout


def test_options_reach_the_file(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "mix.toml"
    result = run(
        datasets["robocasa"], datasets["libero"], "--name", f"{datasets['robocasa']}=kitchen", "--weight", "kitchen=2",
        "--weight", "libero=1/3", "--withhold", "kitchen:OpenDrawer", "--withhold", "libero", "--holdout", "0",
        "--seed", 4, "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    spec = Mixture.open(out).spec
    assert [(s.name, str(s.weight), s.withhold, s.held_out) for s in spec.sources] == [
        ("kitchen", "2", ("OpenDrawer",), ()),
        ("libero", "1/3", ("*",), ()),
    ]
    assert (spec.seed, spec.action_free) == (4, None)


def test_a_different_mixture_is_kept_unless_forced(made: tuple[list[object], Path]) -> None:
    arguments, out = made
    assert run(*arguments).exit_code == 0
    first = out.read_bytes()
    assert run(*arguments).exit_code == 0
    refused = run(*arguments, "--seed", 1)
    assert isinstance(refused.exception, MixtureError)
    assert "--force" in str(refused.exception)
    assert out.read_bytes() == first
    assert run(*arguments, "--seed", 1, "--force").exit_code == 0
    assert out.read_bytes() != first


def test_a_mixture_that_cannot_be_is_not_written(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    result = run(datasets["robocasa"], "--action-free", "0.7", "--out", tmp_path / "mix.toml")
    assert isinstance(result.exception, MixtureError)
    assert "--withhold" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give DIR... and --out"),
        (["DIR"], "give DIR... and --out"),
        (["DIR", "DIR", "--out", "OUT"], "two data sets are called"),
        (["DIR", "--weight", "robocasa", "--out", "OUT"], "is not NAME=W"),
        (["DIR", "--name", "elsewhere=x", "--out", "OUT"], "is not among DIR..."),
        (["DIR", "--show", "OUT"], "takes no DIR"),
        (["DIR", "--seed", "-1", "--out", "OUT"], "greater than or equal to 0"),
    ],
)
def test_wrong_usage_exits_with_two(
    datasets: Mapping[str, Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    places = {"DIR": str(datasets["robocasa"]), "OUT": str(tmp_path / "mix.toml")}
    result = run(*(places.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--action-free", "1.5"], "is not in [0, 1]"),
        (["--action-free", "most"], "'most' is not a number"),
        (["--holdout", "1"], "is not in [0, 1)"),
        (["--weight", "x=1"], "there is no source 'x'"),
        (["--withhold", "robocasa:Dance"], "task 'Dance'"),
    ],
)
def test_wrong_values_are_our_errors(
    datasets: Mapping[str, Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run(datasets["robocasa"], *arguments, "--out", tmp_path / "mix.toml")
    assert isinstance(result.exception, MixtureError)
    assert message in str(result.exception)


def test_help_has_examples() -> None:
    assert "--show manifests/drawer.toml" in run("--help").output
