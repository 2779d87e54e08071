"""Registers the verbs of `vptrain`; nothing else happens here."""

import typer

from vpdata.cli import output
from vptrain.cli import check_video, convert, latents, predict, publish, recipes, replay, report, stages

app = typer.Typer(
    name="vptrain",
    help="Train a video model on clips (stage 1), an action head on its features (stage 2), and use both.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

app.command(epilog=latents.EPILOG)(latents.latents)
app.command(epilog=stages.STAGE1_EPILOG)(stages.stage1)
app.command(epilog=stages.STAGE2_EPILOG)(stages.stage2)
app.command(epilog=stages.JOINT_EPILOG)(stages.joint)
app.command(epilog=predict.EPILOG)(predict.predict)
app.command(name="check-video", epilog=check_video.EPILOG)(check_video.check)
app.command(epilog=replay.EPILOG)(replay.replay)
app.command(epilog=report.EPILOG)(report.report)
app.command(epilog=convert.EPILOG)(convert.convert)
app.command(epilog=publish.EPILOG)(publish.publish)
app.command(epilog=recipes.EPILOG)(recipes.recipes)


def main() -> None:
    """Entry point of the `vptrain` command."""
    output.run(app, prog_name="vptrain")
