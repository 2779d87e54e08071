"""The errors that users see: what is wrong, where, and what to do next.

Anything raised as a `VpdataError` is rendered by the command line as one paragraph with exit code 1; any other
exception is a bug and keeps its traceback.
"""

from pathlib import Path


class VpdataError(Exception):
    """A problem with the user's data, options or machine.

    Args:
        what: the problem in one sentence, with the offending values.
        path: the file or folder it was found in.
        episode: the episode (demo) or clip key inside that file.
        hint: what to do next, ideally a command.
    """

    def __init__(
        self, what: str, *, path: str | Path | None = None, episode: str | None = None, hint: str | None = None
    ) -> None:
        self.what = what
        self.path = None if path is None else str(path)
        self.episode = episode
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.path, self.episode) if part)
        text = f"{where}: {self.what}" if where else self.what
        return f"{text} {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:  # keyword-only arguments survive the trip from a worker process
        return (_rebuild, (type(self), self.what, self.path, self.episode, self.hint))


def _rebuild(
    kind: type[VpdataError], what: str, path: str | None, episode: str | None, hint: str | None
) -> VpdataError:
    return kind(what, path=path, episode=episode, hint=hint)


class SourceError(VpdataError):
    """A recording cannot be read as asked."""


class ShardError(VpdataError):
    """A shard, index or manifest is missing, damaged, or of another format version."""


class DamageError(ShardError):
    """The bytes of one clip are not those that were written, or do not decode; the other clips may be whole."""


class LoaderError(VpdataError):
    """A window cannot be loaded, or too many could not."""


class SetError(VpdataError):
    """A data set cannot be made from others as asked."""


class ExportError(VpdataError):
    """A data set cannot be exported as asked."""


class HubError(VpdataError):
    """A data set cannot be published to, or pulled from, the Hugging Face Hub as asked."""


class MixtureError(VpdataError):
    """A mixture file is wrong or no longer matches its data sets."""


class SimulatorError(VpdataError):
    """A simulator is not installed, cannot render, or does not do what is asked of it."""


class EndOfStream(MixtureError):
    """The position lies behind the last one of a mixture that does not repeat."""
