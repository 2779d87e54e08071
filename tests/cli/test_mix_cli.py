import functools
import json
import threading
from collections.abc import Mapping
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpdata.cli.app import app
from vpdata.errors import MixtureError
from vpdata.mixture.curriculum import Curriculum, Step
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.spec import MixtureSpec


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


def test_every_option_of_the_order_reaches_the_file(datasets: Mapping[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "mix.toml"
    result = run(
        datasets["robocasa"], datasets["video"], "--action-free", "0:0.9,10:1/2,30:0.2:ramp", "--batch-size", 8,
        "--query", "robocasa=task == 'CloseDrawer'", "--temperature", "2.5", "--balance-tasks", "--block-shards", 4,
        "--exhaustion", "renormalise", "--steps", 40, "--json", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    spec = Mixture.open(out).spec
    steps = (
        Step(at=0, share=Fraction(9, 10)),
        Step(at=80, share=Fraction(1, 2)),
        Step(at=240, share=Fraction(1, 5), ramp=True),
    )
    assert spec.action_free == Curriculum(steps=steps)
    assert (spec.temperature, spec.balance_tasks, spec.block_shards) == (Fraction(5, 2), True, 4)
    assert [source.query for source in spec.sources] == ["task == 'CloseDrawer'", ""]
    report = json.loads(result.stdout)
    assert report["num_samples"] == 320
    assert report["exhaustion"] == "renormalise"
    assert report["num_positions"] == sum(component["num_windows"] for component in report["components"])
    assert report["action_free_steps"] == [[0, 0.9, False], [80, 0.5, False], [240, 0.2, True]]
    integral = 80 * 0.9 + 160 * (0.5 + 0.2) / 2 + 80 * 0.2
    assert abs(report["action_free_realised"] - integral) < 1
    assert abs(report["action_free_expected"] * 320 - integral) < 1e-9
    assert report["sources"][0]["num_clips_kept"] < report["sources"][0]["num_clips"]
    shown = run("--show", out, "--samples", 50)
    for text in ("240:0.2:ramp", "renormalise", "CloseDrawer'", "robocasa:CloseDrawer", "45 of 50"):
        assert text in shown.stdout


def test_a_data_set_may_lie_behind_a_url(
    datasets: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPDATA_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "mix.toml"
    handler = functools.partial(SimpleHTTPRequestHandler, directory=datasets["video"].parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}/video"
        result = run(url, datasets["robocasa"], "--action-free", "0.7", "--out", out, "--json")
        shown = run("--show", out, "--json")
        server.shutdown()
        serving.join()
    assert result.exit_code == 0, result.output
    assert shown.stdout == result.stdout
    assert MixtureSpec.read(out).sources[0].path == url
    local = run(datasets["video"], datasets["robocasa"], "--action-free", "0.7", "--out", tmp_path / "2.toml", "--json")
    assert json.loads(local.stdout)["digest"] == json.loads(result.stdout)["digest"]


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
        (["DIR", "--steps", "5", "--out", "OUT"], "needs --batch-size"),
        (["DIR", "--query", "fps > 3", "--out", "OUT"], "is not NAME=EXPR"),
        (["DIR", "--query", "a=b", "--query", "a=c", "--out", "OUT"], "says it twice"),
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
        (["--action-free", "5:0.5"], "first step is not at 0"),
        (["--exhaustion", "halt"], "exhaustion = 'halt' is unknown"),
        (["--temperature", "0"], "temperature = 0 is below 0.1"),
        (["--query", "x=fps > 3"], "query: there is no source 'x'"),
        (["--query", "robocasa=fsp > 3"], "no column 'fsp'"),
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
