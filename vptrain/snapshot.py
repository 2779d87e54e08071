"""The URL of a model on the Hugging Face Hub in, `hf://USER/NAME[@REVISION]`; a folder with its files out."""

import re
from pathlib import Path
from typing import NamedTuple

from vptrain.errors import VptrainError

FILES = ("checkpoint.json", "model.safetensors", "mixture.toml")
"""What is fetched of a model's repository."""
_PATTERN = re.compile(r"hf:/{1,2}(?!datasets/|spaces/)(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/?")


class Snapshot(NamedTuple):
    """A model's files at one commit: of `USER/NAME`, its URL with the commit, and the folder that holds them here."""

    repo_id: str
    url: str
    folder: Path


def is_hub(place: Path | str) -> bool:
    """Whether a place is meant to be one of the Hub."""
    return str(place).startswith("hf:/")  # a Path has dropped a slash


def fetch(url: Path | str) -> Snapshot:
    """Downloads a model into the Hub client's own cache, or what is missing of it there; looks its revision up once.

    Raises:
        VptrainError: this is no URL of a model.
        HubError: there is no such repository or revision, or it cannot be reached.
    """
    found = _PATTERN.fullmatch(str(url))
    if found is None:
        raise VptrainError("this is no model of the Hub.", path=url, hint="Write hf://USER/NAME, or with @REVISION.")
    from vpdata.hub.api import BRANCH, Repository

    revision = (found["revision"] or BRANCH).replace("%2F", "/")
    folder = Repository(found["repo"], kind="model", branch=revision).snapshot(FILES)
    return Snapshot(repo_id=found["repo"], url=f"hf://{found['repo']}@{folder.name}", folder=folder)
