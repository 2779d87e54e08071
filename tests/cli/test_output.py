"""What is rendered for people."""

import io
import re
import time

import pytest
from rich.console import Console

from vpdata.cli import output


def test_the_bar_shows_how_many_of_how_many_the_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(output, "messages", Console(file=terminal, force_terminal=True, width=120))
    with output.progress_bar("encoding", 1_000_000) as advance:
        for _ in range(5):
            advance(1_000)
            time.sleep(0.12)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    rate, left = re.findall(r"encoding .*? +5000/1000000 +(\S+)/s \S+ (\S+)", plain)[-1]
    assert 0 < int(rate.replace(",", "")) < 9_000
    assert re.fullmatch(r"\d+:\d\d:\d\d", left)
