import json
import re
import shutil
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tiny_run import TinyRun, call
from typer.testing import CliRunner

from vpdata.errors import VpdataError
from vpdata.shards.dataset import Dataset
from vptrain.cli.app import app
from vptrain.errors import VptrainError
from vptrain.report.gather import Findings, gather
from vptrain.report.headline import headlines
from vptrain.report.page import render, write_page
from vptrain.report.predictions import read_predictions

TIMES = [
    {"command": "vpdata mix a b --out m.toml", "seconds": 2.5, "peak_memory_bytes": 180_000_000},
    {"command": "vptrain stage1 --out <v>", "seconds": 97.5, "peak_memory_bytes": 1_620_000_000},
]
VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """Checks nesting and collects text, tags and all that names a resource."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.resources: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.resources += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def times(tmp_path: Path) -> Path:
    path = tmp_path / "times.json"
    path.write_text(json.dumps(TIMES))
    return path


@pytest.fixture
def findings(tiny_run: TinyRun, times: Path) -> Findings:
    return gather(
        mixture_file=tiny_run.mixture,
        stage1=tiny_run.stage1,
        stage2=tiny_run.stage2,
        predictions_folder=tiny_run.predictions,
        times_file=times,
    )


def test_the_page_is_whole_and_asks_for_nothing(findings: Findings) -> None:
    html = render(findings)
    page = Page(html)
    assert all(resource.startswith("data:") for resource in page.resources)
    assert not re.search(r"https?://|url\(|@import|<script", html)
    num_clips = len(read_predictions(findings.predictions_folder or Path()).clips)
    assert num_clips >= 3
    assert page.tags.count("video") == page.tags.count("img") == num_clips
    num_labelled = sum(clip.actions is not None for clip in findings.predictions.clips) if findings.predictions else 0
    assert num_labelled >= 2
    assert page.tags.count("svg") == 2 + 1 + 7 * num_labelled  # losses, errors, one panel a dimension


def test_the_numbers_are_those_of_the_inputs(
    findings: Findings, datasets: Mapping[str, Path], tiny_run: TinyRun
) -> None:
    page = Page(render(findings))
    libero = Dataset.open(datasets["libero"])
    assert libero.digest[:12] in page.text
    assert f"{libero.manifest.num_frames:,}".replace(",", "\u202f") in page.text
    predicted = json.loads((tiny_run.predictions / "predictions.json").read_text())
    assert f"{predicted['video']['psnr']:.1f} dB" in page.text
    assert f"{predicted['actions']['baseline_error']:.3f}" in page.text
    lines = [json.loads(line) for line in (tiny_run.stage1 / "metrics.jsonl").read_text().splitlines()]
    *_, held_out_loss = (line["held_out_loss"] for line in lines if "held_out_loss" in line)
    assert f"{held_out_loss:.4g}" in page.text
    for clip in predicted["clips"]:
        assert clip["key"] in page.text
    assert "vptrain stage1 --out <v>" in page.text  # and so it was escaped
    assert "1 min 40 s" in page.text
    assert "1.62 GB" in page.text
    assert findings.mixture.num_samples == 8
    assert findings.mixture.action_free_realised == 4


def test_a_headline_says_when_the_model_is_worse(findings: Findings) -> None:
    video, actions, time, memory = headlines(findings)
    assert findings.predictions is not None
    score = findings.predictions.video
    assert score is not None
    assert video.better == (score.psnr > score.baseline_psnr)
    assert video.better is False  # after four steps from nothing
    assert actions.better is not None
    assert "no better than repeating the first frame" in Page(render(findings)).text
    assert (time.value, time.comparison) == ("1 min 40 s", "98% of it in vptrain stage1")
    assert (memory.value, memory.comparison) == ("1.62 GB", "in vptrain stage1")


def test_stage1_alone_makes_a_page(tiny_run: TinyRun, tmp_path: Path) -> None:
    findings = gather(
        mixture_file=tiny_run.mixture, stage1=tiny_run.stage1, stage2=None, predictions_folder=None, times_file=None
    )
    size = write_page(findings, tmp_path / "new" / "page.html")
    assert headlines(findings) == ()
    page = Page((tmp_path / "new" / "page.html").read_text())
    assert (tmp_path / "new" / "page.html").stat().st_size == size
    assert page.tags.count("svg") == 1
    assert "Predicted against recorded" not in page.text
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]


def test_the_command_prints_the_headlines(tiny_run: TinyRun, times: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    inputs = ("--mixture", tiny_run.mixture, "--stage1", tiny_run.stage1, "--stage2", tiny_run.stage2)
    more = ("--predictions", tiny_run.predictions, "--times", times, "--out", out)
    assert "1 min 40 s" in call(app, "report", *inputs, *more)
    answer = json.loads(call(app, "report", *inputs, *more, "--json"))
    assert answer["bytes"] == out.stat().st_size
    assert [one["label"] for one in answer["headlines"]][-1] == "Peak memory"


def test_a_run_of_another_mixture_is_refused(tiny_run: TinyRun, tmp_path: Path) -> None:
    other = tiny_run.mixture.with_name("other.toml")
    other.write_text(tiny_run.mixture.read_text().replace("seed = 0", "seed = 1"))
    result = CliRunner().invoke(
        app,
        ["report", "--mixture", str(other), "--stage1", str(tiny_run.stage1), "--out", str(tmp_path / "r.html")],
    )
    assert isinstance(result.exception, VptrainError)
    assert "another mixture" in str(result.exception)
    assert not (tmp_path / "r.html").exists()


def test_the_stages_cannot_be_mixed_up(tiny_run: TinyRun) -> None:
    with pytest.raises(VptrainError, match="a run of stage2, not of stage1"):
        gather(
            mixture_file=tiny_run.mixture, stage1=tiny_run.stage2, stage2=None, predictions_folder=None, times_file=None
        )


@pytest.mark.parametrize("name", ["mixture.toml", "times.json", "predictions", "stage1"])
def test_what_is_missing_is_named(tiny_run: TinyRun, times: Path, tmp_path: Path, name: str) -> None:
    missing = tmp_path / "missing" / name
    given = {
        "mixture.toml": tiny_run.mixture,
        "stage1": tiny_run.stage1,
        "predictions": tiny_run.predictions,
        "times.json": times,
        name: missing,
    }
    with pytest.raises(VpdataError) as caught:
        gather(
            mixture_file=given["mixture.toml"],
            stage1=given["stage1"],
            stage2=None,
            predictions_folder=given["predictions"],
            times_file=given["times.json"],
        )
    assert str(missing) in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda _: "[]", "cannot be read"),
        (lambda text: text.replace('"psnr"', '"snr"'), "has no snr"),
        (lambda text: text.replace("000.mp4", "gone.mp4"), "gone.mp4 is missing"),
        (lambda text: text.replace('"mask": [', '"mask": [true,'), "differ in length"),
    ],
)
def test_damaged_predictions_are_refused(
    tiny_run: TinyRun, tmp_path: Path, damage: Callable[[str], str], said: str
) -> None:
    folder = tmp_path / "predictions"
    shutil.copytree(tiny_run.predictions, folder)
    file = folder / "predictions.json"
    file.write_text(damage(file.read_text()))
    with pytest.raises(VptrainError, match=said):
        read_predictions(folder)


@pytest.mark.parametrize("text", ["", "{}", '[{"command": "x"}]'])
def test_damaged_times_are_refused(tiny_run: TinyRun, tmp_path: Path, text: str) -> None:
    file = tmp_path / "times.json"
    file.write_text(text)
    with pytest.raises(VptrainError, match="times cannot be read"):
        gather(
            mixture_file=tiny_run.mixture,
            stage1=tiny_run.stage1,
            stage2=None,
            predictions_folder=None,
            times_file=file,
        )


def test_a_run_without_its_log_is_refused(tiny_run: TinyRun, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.stage1, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    with pytest.raises(VptrainError, match=r"metrics\.jsonl cannot be used"):
        gather(
            mixture_file=tiny_run.mixture,
            stage1=tmp_path / "run",
            stage2=None,
            predictions_folder=None,
            times_file=None,
        )
