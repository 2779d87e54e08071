"""`vpdata collect`: a simulator's scripted experts to recordings."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from vpdata.cli import output

EPILOG = """
Examples:

`vpdata collect metaworld --task drawer-open-v3 --task door-open-v3 --episodes 20 --out recordings/metaworld`

`vpdata collect metaworld --episodes 5 --camera corner --camera gripperPOV --size 64 --out recordings/all_50`

`vpdata collect metaworld --task reach-v3 --episodes 5 --out reach --simulator-python metaworld_venv/bin/python`

Then ingest OUT with the source folder. Run the same command again after an interruption, or with more episodes or
tasks: finished episodes are kept.
"""


def collect(
    simulator: Annotated[str, typer.Argument(help="What has experts: metaworld.")],
    out: Annotated[Path, typer.Option(help="The folder to make, or to go on with.")],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of each task.")],
    task: Annotated[list[str] | None, typer.Option(help="A task; repeat it. All of them otherwise.")] = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="A camera of the simulator's; repeat it. gripperPOV and corner otherwise.")
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Height and width of the frames in pixels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of each task's first attempt; the others take the next ones.")] = 0,
    keep_failures: Annotated[
        bool, typer.Option("--keep-failures", help="Keep attempts at which the expert fails, and count them.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that simulate; one a processor otherwise.")
    ] = None,
    simulator_python: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The interpreter that has the simulator; this one otherwise.")
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Record what a simulator's scripted experts do, as plain folders to ingest."""
    from vpdata.simulators.collect import CollectOptions  # loads PyAV
    from vpdata.simulators.collect import collect as carry_out
    from vpdata.simulators.metaworld_tasks import INSTRUCTIONS

    if simulator != "metaworld":
        raise typer.BadParameter(f"{simulator!r} has no experts; metaworld has", param_hint="SIMULATOR")
    tasks = tuple(task or INSTRUCTIONS)
    cameras = tuple(camera or ("gripperPOV", "corner"))
    options = CollectOptions(simulator=simulator, cameras=cameras, size=size, keep_failures=keep_failures)
    try:
        with output.progress_bar("collecting", len(tasks) * episodes) as advance:
            collected = carry_out(
                options,
                out,
                tasks=tasks,
                episodes=episodes,
                seed=seed,
                workers=workers or os.cpu_count() or 1,
                python=simulator_python,
                progress=advance,
            )
    except KeyboardInterrupt:
        output.say("interrupted; the same command goes on from the finished episodes.")
        raise typer.Exit(130) from None
    rows: list[dict[str, Any]] = [
        {
            "task": one.task,
            "episodes": len(one.succeeded) + (len(one.failed) if keep_failures else 0),
            "made_now": one.num_made,
            "failed_seeds": sorted(one.failed),
        }
        for one in collected.tasks
    ]
    if as_json:
        output.print_json({"path": str(out), "backend": collected.backend, "tasks": rows})
        return
    output.print_table([{**row, "failed_seeds": " ".join(map(str, row["failed_seeds"]))} for row in rows])
    if collected.backend is not None:
        output.say(f"rendered by {collected.backend}.")
