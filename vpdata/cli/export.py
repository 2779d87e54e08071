"""`vpdata export`: data sets to LeRobot's or robomimic's format."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vpdata.cli import output
from vpdata.shards.dataset import Dataset

EPILOG = """
Examples:

`vpdata export lerobot data/kitchen --out lerobot/kitchen --repo-id me/kitchen --robot-type panda`

`vpdata export lerobot data/kitchen data/lab --out lerobot/v21 --format-version 2.1`

`vpdata export hdf5 data/kitchen-held-out --out kitchen.hdf5 --split-at-gaps`

Run the same command again after an interruption: of lerobot, finished videos are kept.
"""


def export(
    kind: Annotated[Literal["lerobot", "hdf5"], typer.Argument(metavar="FORMAT", help="lerobot, or hdf5 (robomimic).")],
    places: Annotated[list[str], typer.Argument(metavar="DIR...", help="Data sets: folders or URLs.")],
    out: Annotated[Path, typer.Option(help="The folder to make; of hdf5 the file.")],
    format_version: Annotated[
        Literal["3.0", "2.1"] | None, typer.Option(help="lerobot: version of its format. Default: 3.0.")
    ] = None,
    dtype: Annotated[
        Literal["float32", "float64"] | None,
        typer.Option(help="lerobot: of actions and states. Default: float32, as LeRobot's policies take them."),
    ] = None,
    repo_id: Annotated[
        str | None, typer.Option(metavar="USER/NAME", help="lerobot: name on the Hub, for the card.")
    ] = None,
    robot_type: Annotated[str | None, typer.Option(help="lerobot: name of the robot, for info.json.")] = None,
    only: Annotated[
        Literal["labelled", "action-free"] | None,
        typer.Option(help="Leave out the episodes without actions, or those with."),
    ] = None,
    split_at_gaps: Annotated[
        bool, typer.Option("--split-at-gaps", help="Make an episode of each contiguous run of one with missing clips.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode and encode; one a processor otherwise.")
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Put the episodes of data sets together again, as a LeRobot data set or a robomimic file."""
    datasets = [Dataset.open(place) for place in places]
    num_frames = sum(int(dataset.index.numbers("num_starts").sum()) for dataset in datasets)
    num_cameras = len(datasets[0].clips[0].episode.cameras) if num_frames else 0
    given = {"--format-version": format_version, "--dtype": dtype, "--repo-id": repo_id, "--robot-type": robot_type}
    try:
        with output.progress_bar("exporting", num_frames * num_cameras) as advance:
            if kind == "lerobot":
                from vpdata.export.lerobot import LeRobotOptions, export_lerobot

                options = LeRobotOptions(
                    format_version=format_version or "3.0",
                    dtype=dtype or "float32",
                    repo_id=repo_id,
                    robot_type=robot_type,
                    only=only,
                    split_at_gaps=split_at_gaps,
                )
                exported = export_lerobot(datasets, out, options, workers=workers, progress=advance)
            else:
                from vpdata.export.hdf5 import Hdf5Options, export_hdf5

                for option, value in given.items():
                    if value is not None:
                        raise typer.BadParameter("is for lerobot only", param_hint=option)
                hdf5_options = Hdf5Options(only=only, split_at_gaps=split_at_gaps)
                exported = export_hdf5(datasets, out, hdf5_options, workers=workers, progress=advance)
    except KeyboardInterrupt:
        output.say("interrupted; the same command goes on with the videos that are finished.")
        raise typer.Exit(130) from None
    row = {"path": str(out), **exported.counts()}
    if as_json:
        output.print_json(row)
    else:
        output.print_table([row])
