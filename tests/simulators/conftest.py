"""The stand-ins for simulators, and the real ones where they are installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lets the simulators' processes import small packages in place of Meta-World, LIBERO and MuJoCo."""
    folder = HERE / "stand_ins"
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    return folder


def interpreter_with(package: str, variable: str) -> Path:
    """The interpreter that the variable names, or else this one; a loud skip where it lacks the package."""
    python = Path(os.environ.get(variable, sys.executable))
    if subprocess.run([python, "-c", f"import {package}"], capture_output=True, stdin=subprocess.DEVNULL).returncode:
        lost = (
            f"NO {package.upper()} in {python} (set {variable} to an interpreter that has it): nothing here checks "
            "that the real simulator does what its stand-in does."
        )
        if os.environ.get("VPDATA_REQUIRE_SIMULATORS") == "1":
            pytest.fail(lost)
        pytest.skip(lost)
    return python


@pytest.fixture(scope="session")
def metaworld_python() -> Path:
    """An interpreter with the real Meta-World."""
    return interpreter_with("metaworld", "VPDATA_METAWORLD_PYTHON")


@pytest.fixture(scope="session")
def libero_python() -> Path:
    """An interpreter with the real LIBERO."""
    return interpreter_with("libero", "VPDATA_LIBERO_PYTHON")
