"""`Findings` enter; the few numbers that matter most leave, for the page's top and for the terminal."""

from dataclasses import dataclass

from vpdata.pages.units import as_bytes, as_duration
from vptrain.report.gather import Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One number: what of, the value as text, what to compare it with, and whether it is better than that."""

    label: str
    value: str
    comparison: str
    better: bool | None = None


def headlines(findings: Findings) -> tuple[Headline, ...]:
    """The headline numbers of what was measured, in order of interest."""
    found = []
    predictions = findings.predictions
    if predictions is not None and predictions.video is not None:
        video = predictions.video
        found.append(
            Headline(
                label="Predicted video, PSNR",
                value=f"{video.psnr:.1f} dB",
                comparison=f"repeating the first frame: {video.baseline_psnr:.1f} dB",
                better=video.psnr > video.baseline_psnr,
            )
        )
    if predictions is not None and predictions.actions is not None:
        actions = predictions.actions
        found.append(
            Headline(
                label="Held-out action error",
                value=f"{actions.error:.3f}",
                comparison=f"predicting the mean action: {actions.baseline_error:.3f}",
                better=actions.error < actions.baseline_error,
            )
        )
    commands = findings.commands
    if commands:
        slowest = max(commands, key=lambda command: command.seconds)
        share = slowest.seconds / sum(command.seconds for command in commands)
        largest = max(commands, key=lambda command: command.peak_memory_bytes)
        found += [
            Headline(
                label="Total time",
                value=as_duration(sum(command.seconds for command in commands)),
                comparison=f"{share:.0%} of it in {_verb(slowest.command)}",
            ),
            Headline(
                label="Peak memory",
                value=as_bytes(largest.peak_memory_bytes),
                comparison=f"in {_verb(largest.command)}",
            ),
        ]
    return tuple(found)


def _verb(command: str) -> str:
    return " ".join(command.split()[:2])
