"""`vpdata decoders`: which libraries decode video here, and which one each codec uses."""

from dataclasses import asdict

from vpdata.cli import output
from vpdata.codecs.decoders import available, select
from vpdata.errors import VpdataError

EPILOG = """
Examples:

`vpdata decoders`

`vpdata decoders --json`
"""


def decoders(as_json: output.JsonFlag = False) -> None:
    """Show the video decoders: their versions, why one cannot be used, and which one each codec uses.

    `VPDATA_DECODER=NAME` in the environment chooses another.
    """
    reports = available()
    codecs = dict.fromkeys(codec for report in reports for codec in report.codecs)
    used = {codec: _used(codec) for codec in codecs}
    if as_json:
        output.print_json({"decoders": [asdict(report) for report in reports], "used": used})
        return
    rows = [
        {
            "decoder": report.name,
            "version": report.version,
            "decodes": ", ".join(report.codecs),
            "used for": ", ".join(codec for codec in codecs if used[codec] == report.name),
            "not available because": report.reason,
        }
        for report in reports
    ]
    output.print_table(rows)


def _used(codec: str) -> str:
    """The decoder's name; where the environment asks for one that cannot do it, nothing but a message on stderr."""
    try:
        return select(codec=codec).name
    except VpdataError as error:
        output.say(f"{codec}: {error}")
        return ""
