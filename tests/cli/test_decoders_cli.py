"""`vpdata decoders` as a user calls it."""

import json

import pytest
from typer.testing import CliRunner

from vpdata.cli.app import app


def test_the_table_and_the_json_name_every_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VPDATA_DECODER", raising=False)
    shown = CliRunner().invoke(app, ["decoders"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    result = CliRunner().invoke(app, ["decoders", "--json"])
    found = json.loads(result.stdout)
    assert [decoder["name"] for decoder in found["decoders"]] == ["pyav", "torchcodec", "decord", "torchcodec-cuda"]
    assert found["used"] == {"h264": "pyav", "av1": "pyav"}
    assert all(decoder["name"] in shown.stdout for decoder in found["decoders"])


def test_a_wish_that_cannot_be_met_is_told_and_the_table_still_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPDATA_DECODER", "vlc")
    result = CliRunner().invoke(app, ["decoders", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["used"] == {"h264": "", "av1": ""}
    assert "there is no decoder 'vlc'" in result.stderr
