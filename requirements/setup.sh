# Makes .venv: torch for this machine, the pinned dependencies, and the project with its development tools.
# May be run again; what is there stays. `make setup` runs it when pyproject.toml or the pins have changed.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
torch=2.13.0

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: '$python' is not Python 3.11 or newer. Name one that is: make setup PYTHON=python3.12" >&2
    exit 1
}
[ -x .venv/bin/python ] || "$python" -m venv .venv

pip_install() {
    .venv/bin/python -m pip install --disable-pip-version-check --quiet --constraint requirements/constraints.txt "$@"
}

# The plain wheel brings gigabytes of CUDA libraries, which only a machine with an NVIDIA GPU can use.
install_torch() {
    if nvidia-smi -L >/dev/null 2>&1; then
        echo "setup: torch $torch for the NVIDIA GPU"
        pip_install "torch==$torch"
    elif pip_install "torch==$torch+cpu" 2>/dev/null; then
        echo "setup: torch $torch, CPU build"
    else
        echo "setup: pip knows of no CPU build of torch $torch; uv knows where they are"
        pip_install uv
        .venv/bin/uv pip install --python .venv/bin/python --torch-backend=cpu \
            --constraint requirements/constraints.txt "torch==$torch" || {
            echo "setup: no CPU build of torch $torch was found. Put one into .venv (see the message above), then run again." >&2
            exit 1
        }
    fi
}

installed=$(.venv/bin/python -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null || true)
[ "${installed%%+*}" = "$torch" ] || install_torch
echo "setup: the other dependencies"
pip_install --editable ".[dev]"
.venv/bin/python -c 'import torch; print(f"setup: done, with torch {torch.__version__}")'
