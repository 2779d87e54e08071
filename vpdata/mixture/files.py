"""What mixture and split files share: a TOML file in, its table out; bytes in, a file that overwrites no other out."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from vpdata.errors import MixtureError
from vpdata.shards.files import write_named


def read_table(path: Path, *, what: str, made_by: str) -> dict[str, Any]:
    """The table of a TOML file, numbers with a point as Decimal; `what` and `made_by` (its command) are for messages.

    Raises:
        MixtureError: the file is missing, does not read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        raise MixtureError(f"no such {what} file.", path=path, hint=f"Make one with `{made_by}`.") from None
    except OSError as error:
        raise MixtureError(f"cannot be read ({error.strerror}).", path=path, hint=f"Name a {what} file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MixtureError(f"not a TOML file: {error}.", path=path) from None


def write_new(path: Path, data: bytes, *, what: str, replace: bool) -> None:
    """Writes a file atomically, in a folder that is made.

    Raises:
        MixtureError: a file with other bytes is there, and `replace` is False.
        VpdataError: PATH is a folder, the disk is full, or nothing may be written there.
    """
    if path.is_file() and path.read_bytes() != data and not replace:
        raise MixtureError(f"a different {what} is already there.", path=path, hint="Replace it with --force.")
    write_named(path, data)
