"""The configuration that a run was made with: its run.json enters, typed configurations leave."""

import json
from dataclasses import dataclass
from pathlib import Path

from vptrain.config import ModelConfig, RunConfig, from_dict
from vptrain.errors import VptrainError


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Of a run: its model, and how its stage trains."""

    model: ModelConfig
    run: RunConfig


def read_saved(path: Path) -> Saved:
    """Reads a run.json, or that of a run's folder.

    Raises:
        VptrainError: there is none, or it is not of this version.
    """
    file = path / "run.json" if path.is_dir() else path
    try:
        values = json.loads(file.read_text())
        return Saved(model=from_dict(ModelConfig, values["model"]), run=from_dict(RunConfig, values["run"]))
    except FileNotFoundError:
        raise VptrainError("there is no run.json.", path=path, hint="Name a run of `vptrain`.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise VptrainError(f"this is no run.json ({type(error).__name__}: {error}).", path=file) from error
    except VptrainError as error:
        raise VptrainError(error.what, path=file, hint="Use the version of vptrain that wrote it.") from error
