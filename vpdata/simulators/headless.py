"""Rendering without a screen: finds out which of MuJoCo's ways works on this machine.

Enters: nothing. Leaves: `MUJOCO_GL` in this process's environment, before MuJoCo is imported.
"""

import os
import subprocess
import sys

from vpdata.errors import SimulatorError

BACKENDS = ("egl", "osmesa")  # a GPU or Mesa by EGL; Mesa in software alone
PROBE = "import mujoco; context = mujoco.GLContext(16, 16); context.make_current(); context.free()"


def choose_backend() -> str:
    """The value of `MUJOCO_GL`: as the user set it, or else the first that works, which is then set.

    Raises:
        SimulatorError: none works.
    """
    chosen = os.environ.get("MUJOCO_GL")
    if chosen:
        return chosen
    failures = []
    for backend in BACKENDS:
        wanted = {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
        probe = subprocess.run([sys.executable, "-c", PROBE], env=os.environ | wanted, capture_output=True, text=True)
        if probe.returncode == 0:
            os.environ.update(wanted)
            return backend
        failures.append(f"{backend}: {(probe.stderr.strip().splitlines() or ['it ended without a word'])[-1]}")
    raise SimulatorError(
        f"nothing renders without a screen here ({'; '.join(failures)}).",
        hint="Install Mesa (Debian: libegl1 and libegl-mesa0, or libosmesa6), or set MUJOCO_GL to what works.",
    )
