"""`vpdata mix`: make a mixture file from data sets, or show what a run with one will see."""

from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from vpdata.cli import output
from vpdata.mixture import leaks
from vpdata.mixture.curriculum import parse_action_free
from vpdata.mixture.exact import fraction
from vpdata.mixture.make import make_mixture
from vpdata.mixture.mixture import Mixture
from vpdata.mixture.report import MixtureReport, describe
from vpdata.mixture.spec import EVERY_TASK
from vpdata.mixture.split import Split
from vpdata.shards.dataset import Dataset
from vpdata.shards.store import is_url

MAX_LISTED = 10
"""Held-out episodes of a source that a table lists; `--json` lists all."""

EPILOG = """
Examples:

`vpdata mix data/robocasa data/video --action-free 0.7 --out manifests/drawer.toml`

`vpdata mix data/robocasa --withhold robocasa:OpenDrawer --action-free 1/2 --out manifests/half.toml`

`vpdata mix data/libero data/aloha --weight libero=2 --weight aloha=1 --out manifests/two.toml`

`vpdata mix data/robocasa data/video --action-free 0:0.9,1000:0.5 --batch-size 64 --out manifests/stages.toml`

`vpdata mix data/robocasa --query "robocasa=task != 'OpenDrawer'" --exhaustion stop --out manifests/close.toml`

`vpdata mix data/robocasa --split splits/scenes.toml --withhold-actions robocasa=0.5 --out manifests/scenes.toml`

`vpdata mix data/robocasa data/footage --evaluate-on data/exam --check-leaks --out manifests/clean.toml`

`vpdata mix --show manifests/drawer.toml --steps 1000 --batch-size 64`
"""


def mix(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="DIR...", help="Data sets to mix: folders or URLs.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The mixture file to write (TOML).")] = None,
    action_free: Annotated[
        str | None,
        typer.Option(
            metavar="R",
            help="Share of action-free windows, 0.7 or 2/3; or steps AT:SHARE[:ramp], 0:0.9,100000:0.5, where AT "
            "counts windows. Default: as stored.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(metavar="DIR=NAME", help="Name of a data set. Default: its folder's name.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=W", help="Share among the data sets of a pool. Default: number of windows."),
    ] = None,
    temperature: Annotated[
        str, typer.Option(metavar="T", help="Without weights: share by number of windows to the power of 1/T.")
    ] = "1",
    balance_tasks: Annotated[
        bool, typer.Option("--balance-tasks", help="Equal shares for the tasks of a data set, whatever their size.")
    ] = False,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=EXPR", help="Only clips for which this holds, like \"fps >= 20 and task != 'A'\"."),
    ] = None,
    withhold: Annotated[
        list[str] | None,
        typer.Option(
            "--withhold",
            "--withhold-actions",
            metavar="NAME[:TASK|=SHARE]",
            help="Show this task, this share of the episodes, or all of the data set, without actions.",
        ),
    ] = None,
    holdout: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Share of every task's episodes never shown. Default: 0.1.")
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of --holdout: never show the held-out side of this `vpdata split`."),
    ] = None,
    exhaustion: Annotated[
        str, typer.Option(metavar="POLICY", help="After a component's last window: repeat, stop or renormalise.")
    ] = "repeat",
    block_shards: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Go through a component's shards N at a time. Default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the order and of the held-out choice.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a different mixture file.")] = False,
    show: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Show what a run with this mixture will see; write nothing.")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="Positions of the dry run that counts components.")] = 10_000,
    steps: Annotated[
        int | None, typer.Option(min=0, help="Training steps of the dry run, instead of --samples.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Windows of a training step: --steps and the AT of --action-free count steps."),
    ] = None,
    evaluate_on: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="A data set to evaluate on: refuse to show what it holds. Not in the file."),
    ] = None,
    check_leaks: Annotated[
        bool,
        typer.Option(
            "--check-leaks",
            help="Also look for held-out footage under another file, format or encoding; decodes two frames a second.",
        ),
    ] = False,
    allow_leak: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Show it though it is held out: an episode as the refusal names it, or a source."
        ),
    ] = None,
    allow_changed_data: Annotated[
        bool, typer.Option("--allow-changed-data", help="With --show: take data sets that have changed as they are.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Mix data sets into one stream of windows with an exact share of action-free ones, or show such a mixture."""
    if steps is not None and batch_size is None:
        raise typer.BadParameter("needs --batch-size", param_hint="--steps")
    if split is not None and holdout is not None:
        raise typer.BadParameter("not together with --holdout", param_hint="--split")
    unit = batch_size or 1
    if show is not None:
        if places or out:
            raise typer.BadParameter("takes no DIR and no --out", param_hint="--show")
        mixture = Mixture.open(show, allow_changed=allow_changed_data)
    else:
        if not places or out is None:
            raise typer.BadParameter("give DIR... and --out to make a mixture, or --show FILE to see one")
        mixture = make_mixture(
            _datasets(places, _pairs(name or (), "--name", "DIR=NAME")),
            file=out,
            seed=seed,
            action_free=None if action_free is None else parse_action_free(action_free, unit=unit),
            exhaustion=exhaustion,
            weights={source: fraction(w) for source, w in _pairs(weight or (), "--weight", "NAME=W").items()},
            temperature=fraction(temperature),
            balance_tasks=balance_tasks,
            block_shards=block_shards,
            queries=_queries(query or ()),
            withhold=_withheld([text for text in withhold or () if not _is_share(text)]),
            withhold_shares=_withheld_shares([text for text in withhold or () if _is_share(text)]),
            holdout=fraction(holdout or "0.1") if split is None else Split.read(split),
        )
        _refuse_leaks(mixture, _datasets(evaluate_on or (), {}), footage=check_leaks, allowed=allow_leak or ())
        mixture.spec.write(out, replace=force)
        output.say(f"{out}: written.")
    report = describe(mixture, num_samples=samples if steps is None else steps * unit)
    if as_json:
        output.print_json(asdict(report))
    else:
        _render(report)


def _refuse_leaks(mixture: Mixture, evaluation: dict[str, Dataset], *, footage: bool, allowed: Sequence[str]) -> None:
    sides = leaks.sides_of(mixture, evaluation)
    leaks.refuse(leaks.equal_recordings(sides), allowed=allowed)
    if footage:
        with output.progress_bar("looking for held-out footage", None) as advance:
            leaks.refuse(leaks.equal_footage(sides, progress=advance), allowed=allowed)


def _pairs(texts: Sequence[str], option: str, form: str) -> dict[str, str]:
    """`KEY=VALUE` texts as a dictionary."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.rpartition("=")
        if not equals or not key or not value or key in pairs:
            raise typer.BadParameter(f"{text!r} is not {form}, or says it twice", param_hint=option)
        pairs[key] = value
    return pairs


def _queries(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=EXPR` texts by name; an expression may hold more equals signs."""
    queries: dict[str, str] = {}
    for text in texts:
        name, _, expression = text.partition("=")
        if not name or not expression or name in queries:
            raise typer.BadParameter(f"{text!r} is not NAME=EXPR, or says it twice", param_hint="--query")
        queries[name] = expression
    return queries


def _is_share(text: str) -> bool:
    """Whether this is NAME=SHARE, and not NAME:TASK, where a task may hold anything."""
    return "=" in text.partition(":")[0]


def _withheld_shares(texts: Sequence[str]) -> dict[str, Fraction]:
    return {name: fraction(share) for name, share in _pairs(texts, "--withhold", "NAME=SHARE").items()}


def _withheld(texts: Sequence[str]) -> dict[str, list[str]]:
    withheld: dict[str, list[str]] = {}
    for text in texts:
        source, _, task = text.partition(":")
        withheld.setdefault(source, []).append(task or EVERY_TASK)
    return withheld


def _datasets(places: Sequence[str], names: dict[str, str]) -> dict[str, Dataset]:
    """The data sets by name: the one given for the place, or the last part of the place itself."""
    given = {_resolved(place): name for place, name in names.items()}
    datasets: dict[str, Dataset] = {}
    for place in map(_resolved, places):
        name = given.pop(place, place.rstrip("/").rpartition("/")[2])
        if name in datasets:
            raise typer.BadParameter(f"two data sets are called {name!r}; give --name DIR=NAME", param_hint="DIR...")
        datasets[name] = Dataset.open(place)
    if given:
        raise typer.BadParameter(f"{next(iter(given))} is not among DIR...", param_hint="--name")
    return datasets


def _resolved(place: str) -> str:
    return place if is_url(place) else str(Path(place).resolve())


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
        title=f"What a run sees (share and realised: {report.num_samples} positions from 0)",
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
                "place": source.path,
                "query": source.query,
                "clips kept": f"{source.num_clips_kept} of {source.num_clips}",
                "withheld": ", ".join(source.withheld),
                "held-out episodes": "\n".join(_capped(source.held_out)),
            }
            for source in report.sources
        ],
        title="Kept back",
    )
    facts = {
        "action-free": _share(report.action_free_steps),
        "expected": f"{report.action_free_expected:.2%}",
        "realised": f"{report.action_free_realised} of {report.num_samples}",
        "exhaustion": report.exhaustion,
        "windows": "endless" if report.num_positions is None else report.num_positions,
        "shards at a time": report.block_shards or "all",
        "seed": report.seed,
        "digest": report.digest,
    }
    output.print_table([{"the stream": name, "": value} for name, value in facts.items()])


def _share(steps: Sequence[tuple[int, float, bool]]) -> str:
    """`70.00%`, or what `--action-free` would say, a step a line."""
    if len(steps) == 1:
        return f"{steps[0][1]:.2%}"
    return "\n".join(f"{at}:{share:g}{':ramp' if ramp else ''}" for at, share, ramp in steps)


def _capped(texts: Sequence[str]) -> list[str]:
    more = len(texts) - MAX_LISTED
    return [*texts[:MAX_LISTED], *([f"and {more} more"] if more > 0 else [])]
