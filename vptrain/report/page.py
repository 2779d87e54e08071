"""`Findings` in, one self-contained HTML page out: pictures, charts and styles are inside, nothing is fetched."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from vpdata import spaces
from vpdata.pages import environment
from vpdata.shards.files import full_disk_as_error, write_whole
from vptrain.config import to_dict
from vptrain.errors import VptrainError
from vptrain.report.charts import Line, line_chart, paired_bars, sparkline
from vptrain.report.gather import Findings, LossPoint, RunFacts
from vptrain.report.headline import headlines
from vptrain.report.machine import describe_machine, describe_software
from vptrain.report.predictions import ActionScore, PredictedActions, PredictedClip

LOG_SCALE_RATIO = 20.0
"""Losses that span more than this are drawn on a logarithmic scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run and its chart."""

    facts: RunFacts
    chart: Markup
    log: bool
    sigma_chart: Markup | None
    config: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPanel:
    """One action dimension of one clip: its name, the chart, and the range that the chart spans."""

    name: str
    chart: Markup
    range: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipView:
    """A predicted clip with its video and strip as data URIs."""

    facts: PredictedClip
    video: str
    strip: str
    panels: tuple[ActionPanel, ...]


def write_page(findings: Findings, path: Path) -> int:
    """Writes the page, atomically; missing parent folders are made. Returns its size in bytes.

    Raises:
        VptrainError: there is a folder with that name.
        VpdataError: the folder that it goes into cannot be written.
    """
    data = render(findings).encode()
    if path.is_dir():
        raise VptrainError("this is a folder.", path=path, hint="Name a file, such as report.html.")
    with full_disk_as_error(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    return len(data)


def render(findings: Findings) -> str:
    """The page as HTML."""
    predictions = findings.predictions
    actions = None if predictions is None else predictions.actions
    return (
        environment("vptrain.report")
        .get_template("own/template.html.j2")
        .render(
            findings=findings,
            model=findings.runs[0].model,
            headlines=headlines(findings),
            runs=[_run(run) for run in findings.runs],
            clips=_clips(findings),
            predictions=predictions,
            actions=actions,
            machine=describe_machine(),
            software=describe_software(),
            error_chart=None if actions is None else _error_chart(actions),
        )
    )


def _run(facts: RunFacts) -> RunView:
    lines = [
        Line(css="line-training", points=_points(facts.training)),
        Line(css="line-held-out", points=_points(facts.held_out), dots=True),
    ]
    losses = [y for line in lines for _, y in line.points]
    log = min(losses) > 0 and max(losses) / min(losses) > LOG_SCALE_RATIO
    return RunView(
        facts=facts,
        chart=line_chart(lines, x_label="steps", label=f"losses of {facts.run.stage} over steps", log=log),
        log=log,
        sigma_chart=_sigma_chart(facts),
        config=json.dumps({"model": to_dict(facts.model), "run": to_dict(facts.run)}, indent=2),
    )


def _sigma_chart(facts: RunFacts) -> Markup | None:
    """Held-out losses at each noise level, relative to their first; None where there is one point or none."""
    if len(facts.held_out) < 2 or not facts.by_sigma:
        return None
    lines = [
        Line(css=f"line-held-out level-{i}", points=[(point.step, point.loss / points[0].loss) for point in points])
        for i, (_, points) in enumerate(facts.by_sigma)
    ]
    return line_chart(lines, x_label="steps", label=f"held-out losses of {facts.run.stage} by noise level", height=170)


def _points(points: tuple[LossPoint, ...]) -> list[tuple[float, float]]:
    return [(point.step, point.loss) for point in points]


def _clips(findings: Findings) -> list[ClipView]:
    predictions, folder = findings.predictions, findings.predictions_folder
    if predictions is None or folder is None:
        return []
    space = None if predictions.actions is None else predictions.actions.space
    return [
        ClipView(
            facts=clip,
            video=_data_uri(folder / clip.video, "video/mp4"),
            strip=_data_uri(folder / clip.strip, "image/png"),
            panels=() if clip.actions is None or space is None else _panels(clip.actions, space),
        )
        for clip in predictions.clips
    ]


def _data_uri(path: Path, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _panels(actions: PredictedActions, space: str) -> tuple[ActionPanel, ...]:
    """One panel a dimension; each spans what the space permits, or more where the values do."""
    panels = []
    for i, dimension in enumerate(spaces.load(space).dimensions):
        predicted = [(t, row[i]) for t, row in enumerate(actions.predicted)]
        recorded = [(t, row[i]) for t, row in enumerate(actions.recorded) if actions.mask[t]]
        limits = [limit for limit in (dimension.low, dimension.high) if limit is not None]
        values = [value for _, value in (*predicted, *recorded)] + limits
        low, high = min(values), max(values)
        lines = [Line(css="line-recorded", points=recorded), Line(css="line-predicted", points=predicted)]
        label = f"{dimension.name}, recorded and predicted, over {len(predicted)} actions"
        panels.append(
            ActionPanel(
                name=dimension.name,
                chart=sparkline(lines, low=low, high=high, label=label),
                range=f"{low:.3g} … {high:.3g}{_unit(dimension.unit)}",
            )
        )
    return tuple(panels)


def _unit(unit: str) -> str:
    """What to write behind a number: nothing for a plain one, `× 0.05 m` for a scaled one."""
    if unit == "1":
        return ""
    return f" × {unit}" if unit[0].isdigit() else f" {unit}"


def _error_chart(actions: ActionScore) -> Markup:
    rows = [(dimension.name, dimension.error, dimension.baseline_error) for dimension in actions.dimensions]
    return paired_bars(rows, label="error of each action dimension, predicted and by the mean action")
