"""The few things that publishing asks of the Hugging Face Hub, by its own client; its faults as `HubError`.

No message carries a token or a signed URL: an error says what the server answered, and never what was sent.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    get_session,
    snapshot_download,
)
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import disable_progress_bars

from vpdata.errors import HubError

BRANCH = "main"
Kind = Literal["dataset", "model"]
STALL_SECONDS = 120.0
"""Without a byte, after which a request counts as lost; by itself the client waits for ever. A commit may take 60 s."""
_FAULTS: tuple[type[BaseException], ...] = (*HfHubHTTPError.__bases__, RuntimeError)
"""The errors of the httpx that the client uses, OSError, and what its uploading threads raise."""
_PASSING_STATUS = frozenset({408, 409, 412, 425, 429})
_URL = re.compile(r"https?://[^\s'\"]+")
_TOKEN = re.compile(r"\bhf_\w+")
_WAIT = re.compile(r"^(?:.*;t=)?(\d+)\b")
"""Seconds, as `Retry-After` has them or the Hub's `RateLimit` (`"api";r=0;t=120`)."""


class PassingFault(HubError):
    """A fault after which it may be tried again; `wait_seconds` that the Hub asks for."""

    wait_seconds = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that a repository shall hold: where it lies here (or its bytes), its size and hex SHA-256."""

    source: Path | bytes
    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "File":
        """A file that is not here but for its bytes."""
        return cls(source=data, size=len(data), sha256=hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of a commit: size in bytes, SHA-256 of a large one (None of others), and what Git names its bytes by."""

    size: int
    sha256: str | None
    git_oid: str

    def is_(self, file: File) -> bool:
        """Whether it has the bytes of that file."""
        if self.size != file.size or self.sha256 is not None:
            return (self.size, self.sha256) == (file.size, file.sha256)
        data = file.source if isinstance(file.source, bytes) else file.source.read_bytes()
        return self.git_oid == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The commit that a branch is at, and its files by path."""

    commit: str
    files: Mapping[str, HubFile]


class Repository:
    """A repository of a data set or model, `USER/NAME`, and a branch of it."""

    def __init__(self, repo_id: str, *, kind: Kind = "dataset", branch: str = BRANCH) -> None:
        disable_progress_bars()
        self.repo_id = repo_id
        self.kind = kind
        self.branch = branch
        self._api = HfApi()

    @property
    def url(self) -> str:
        """As it is written for reading."""
        at = "" if self.branch == BRANCH else f"@{self.branch.replace('/', '%2F')}"
        return f"hf://{'datasets/' if self.kind == 'dataset' else ''}{self.repo_id}{at}"

    def head(self) -> Head | None:
        """Where the branch is; None where there is no such repository or branch (or none that the token may see)."""
        with self._faults("looked at"):
            try:
                commit = self._api.repo_info(self.repo_id, repo_type=self.kind, revision=self.branch).sha
                entries = self._api.list_repo_tree(self.repo_id, recursive=True, revision=commit, repo_type=self.kind)
                files = {entry.path: _file(entry) for entry in entries if isinstance(entry, RepoFile)}
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return None
        assert commit is not None
        return Head(commit=commit, files=files)

    def make(self, *, private: bool) -> None:
        """Makes the repository, private or not, and its branch, unless they are there."""
        with self._faults("made"):
            self._api.create_repo(self.repo_id, repo_type=self.kind, private=private, exist_ok=True)
            if self.branch != BRANCH:
                self._api.create_branch(self.repo_id, repo_type=self.kind, branch=self.branch, exist_ok=True)

    def read(self, path: str, *, commit: str) -> bytes:
        """The bytes of a small file."""
        with self._faults("read"):
            return Path(
                self._api.hf_hub_download(self.repo_id, path, repo_type=self.kind, revision=commit)
            ).read_bytes()

    def snapshot(self, files: Sequence[str]) -> Path:
        """The folder with some files of the branch (or tag, or commit), in the client's cache; its name is the commit.

        What is there is not downloaded again, and a commit that is there whole needs no network.
        """
        with self._faults("read"):
            return Path(
                snapshot_download(self.repo_id, repo_type=self.kind, revision=self.branch, allow_patterns=[*files])
            )

    def upload(self, files: Mapping[str, File]) -> Sequence[CommitOperationAdd]:
        """Uploads large files, which nobody sees before they are committed; what the Hub has already is not sent.

        Args:
            files: by path.

        Returns:
            What to commit.
        """
        operations = []
        for path, file in files.items():
            operation = CommitOperationAdd(path, file.source)
            operation.upload_info.sha256 = bytes.fromhex(file.sha256)
            operations.append(operation)
        with self._faults("written to"):
            self._api.preupload_lfs_files(self.repo_id, operations, repo_type=self.kind, revision=self.branch)
        return operations

    def commit(self, add: Sequence[CommitOperationAdd], *, delete: Sequence[str] = (), title: str, parent: str) -> str:
        """Commits what was uploaded, and small files with it, on top of a commit; returns the new one.

        Raises:
            PassingFault: it may or may not have been made, or the branch is no longer at `parent`.
        """
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = list(add)
        operations += [CommitOperationDelete(path, is_folder=False) for path in delete]
        with self._faults("written to"):
            return self._api.create_commit(
                self.repo_id,
                operations,
                commit_message=title,
                repo_type=self.kind,
                revision=self.branch,
                parent_commit=parent,
            ).oid

    @contextmanager
    def _faults(self, done: str) -> Iterator[None]:
        hooks = get_session().event_hooks["request"]
        if _limit_waits not in hooks:
            hooks.append(_limit_waits)
        try:
            yield
        except HFValidationError as error:
            raise HubError("this names no repository.", path=self.url, hint="Write USER/NAME.") from error
        except _FAULTS as error:
            raise _fault(error, self.url, done) from error


def _limit_waits(request: Any) -> None:
    """Gives a request of the client time limits where it has none."""
    limits = request.extensions["timeout"]
    for name in ("connect", "read", "write"):
        limits[name] = limits[name] or STALL_SECONDS


def _file(entry: RepoFile) -> HubFile:
    return HubFile(size=entry.size, sha256=entry.lfs.sha256 if entry.lfs else None, git_oid=entry.blob_id)


def _fault(error: BaseException, url: str, done: str) -> HubError:
    inner = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
    response = getattr(inner, "response", None)
    status = None if response is None else int(response.status_code)
    if status is None:
        text = _TOKEN.sub("hf_…", _URL.sub("the Hub", (str(inner).strip() or type(inner).__name__).splitlines()[0]))
        if "404" in text and "xet" in str(inner):
            hint = "It seems to have no Xet storage: set HF_HUB_DISABLE_XET=1."
            return HubError(f"the repository cannot be {done} ({text}).", path=url, hint=hint)
        hint = "Check the network, then run it again: what is there stays."
        return PassingFault(f"the repository cannot be {done} ({text}).", path=url, hint=hint)
    phrase = HTTPStatus(status).phrase if status in list(HTTPStatus) else "unknown status"
    headers = {} if response is None else response.headers
    said = _TOKEN.sub("hf_…", headers.get("X-Error-Message", "")).rstrip(".")
    what = f"the repository cannot be {done}: the Hub answered {status} ({phrase}){f', {said}' if said else ''}."
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        hint = "Log in with `hf auth login`, or set HF_TOKEN to one that may write there."
        if done == "read":
            hint = "Check its name; for a private one log in with `hf auth login`, or set HF_TOKEN."
        return HubError(what, path=url, hint=hint)
    if status in _PASSING_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        fault = PassingFault(what, path=url, hint="Run it again later: what is there stays.")
        found = _WAIT.search(f"{headers.get('Retry-After', '')} {headers.get('RateLimit', '')}")
        fault.wait_seconds = float(found[1]) if found else 0.0
        return fault
    return HubError(what, path=url)
