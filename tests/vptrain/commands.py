"""How a command ended, and the type of the fixture that runs one."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def message(self) -> str:
        """The one paragraph that an error is."""
        assert self.exit_code == 1, self.stderr
        assert self.stdout == ""
        assert self.stderr.startswith("error: ")
        assert "Traceback" not in self.stderr
        assert self.stderr.strip().count("\n") == 0
        return self.stderr


Vptrain = Callable[..., Ended]
