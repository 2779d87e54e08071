"""`vpdata mix`: make a mixture file from data sets, or show what a run with one will see."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.report import MixtureReport, describe
from vpdata.mixture.spec import EVERY_TASK, fraction
from vpdata.shards.dataset import Dataset

EPILOG = """
Examples:

`vpdata mix data/robocasa data/video --action-free 0.7 --out manifests/drawer.toml`

`vpdata mix data/robocasa --withhold robocasa:OpenDrawer --action-free 1/2 --out manifests/half.toml`

`vpdata mix data/libero data/aloha --weight libero=2 --weight aloha=1 --out manifests/two.toml`

`vpdata mix --show manifests/drawer.toml`
"""


def mix(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="DIR...", help="Data sets to mix.")] = None,
    out: Annotated[Path | None, typer.Option(help="The mixture file to write (TOML).")] = None,
    action_free: Annotated[
        str | None, typer.Option(metavar="R", help="Share of action-free windows, 0.7 or 2/3. Default: as stored.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(metavar="DIR=NAME", help="Name of a data set. Default: its folder's name.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=W", help="Share among the data sets of a pool. Default: number of windows."),
    ] = None,
    withhold: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:TASK]", help="Show this task, or all of the data set, without actions."),
    ] = None,
    holdout: Annotated[str, typer.Option(metavar="SHARE", help="Share of every task's episodes never shown.")] = "0.1",
    seed: Annotated[int, typer.Option(min=0, help="Of the order and of the held-out choice.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a different mixture file.")] = False,
    show: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Show what a run with this mixture will see; write nothing.")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="Positions of the dry run that counts components.")] = 10_000,
    allow_changed_data: Annotated[
        bool, typer.Option("--allow-changed-data", help="With --show: take data sets that have changed as they are.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Mix data sets into one stream of windows with an exact share of action-free ones, or show such a mixture."""
    if show is not None:
        if folders or out:
            raise typer.BadParameter("takes no DIR and no --out", param_hint="--show")
        mixture = Mixture.open(show, allow_changed=allow_changed_data)
    else:
        if not folders or out is None:
            raise typer.BadParameter("give DIR... and --out to make a mixture, or --show FILE to see one")
        withheld: dict[str, list[str]] = {}
        for text in withhold or ():
            source, _, task = text.partition(":")
            withheld.setdefault(source, []).append(task or EVERY_TASK)
        mixture = make_mixture(
            _datasets(folders, _pairs(name or (), "--name", "DIR=NAME")),
            file=out,
            seed=seed,
            action_free=None if action_free is None else fraction(action_free),
            weights={source: fraction(w) for source, w in _pairs(weight or (), "--weight", "NAME=W").items()},
            withhold=withheld,
            holdout=fraction(holdout),
        )
        mixture.spec.write(out, replace=force)
        output.say(f"{out}: written.")
    report = describe(mixture, num_samples=samples)
    if as_json:
        output.print_json(asdict(report))
    else:
        _render(report)


def _pairs(texts: Sequence[str], option: str, form: str) -> dict[str, str]:
    """`KEY=VALUE` texts as a dictionary."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.rpartition("=")
        if not equals or not key or not value or key in pairs:
            raise typer.BadParameter(f"{text!r} is not {form}, or says it twice", param_hint=option)
        pairs[key] = value
    return pairs


def _datasets(folders: Sequence[Path], names: dict[str, str]) -> dict[str, Dataset]:
    """The data sets by name: the one given for the folder, or the folder's own."""
    resolved = {Path(folder).resolve(): name for folder, name in names.items()}
    datasets: dict[str, Dataset] = {}
    for folder in folders:
        name = resolved.pop(folder.resolve(), folder.resolve().name)
        if name in datasets:
            raise typer.BadParameter(f"two data sets are called {name!r}; give --name DIR=NAME", param_hint="DIR...")
        datasets[name] = Dataset.open(folder)
    if resolved:
        raise typer.BadParameter(f"{next(iter(resolved))} is not among DIR...", param_hint="--name")
    return datasets


def _render(report: MixtureReport) -> None:
    total = max(report.num_samples, 1)
    output.print_table(
        [
            {
                "component": component.name,
                "clips": component.num_clips,
                "episodes": component.num_episodes,
                "windows": component.num_windows,
                "s/epoch": round(component.seconds_per_epoch, 1),
                "share": f"{component.expected_share:.2%}",
                "realised": f"{component.realised / total:.2%}",
            }
            for component in report.components
        ],
        title=f"What a run sees (realised: {report.num_samples} positions from 0)",
    )
    output.print_table(
        [
            {
                "component": component.name,
                "fps": ", ".join(f"{fps:g}" for fps in component.fps),
                "cameras": "; ".join(component.cameras),
                "actions": ", ".join(component.action_spaces) or "none",
            }
            for component in report.components
        ],
        title="Frame rates, stored cameras (height x width), action spaces",
    )
    output.print_table(
        [
            {
                "source": source.name,
                "folder": source.path,
                "tasks withheld": ", ".join(source.withheld),
                "held-out episodes": "\n".join(source.held_out),
            }
            for source in report.sources
        ],
        title="Kept back",
    )
    output.print_table(
        [
            {
                "action-free": f"{report.action_free_expected:.2%}",
                "realised": f"{report.action_free_realised} of {report.num_samples}",
                "seed": report.seed,
                "digest": report.digest,
            }
        ]
    )
