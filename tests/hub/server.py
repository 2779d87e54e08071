"""A Hugging Face Hub on loopback, for the real clients: `with serving() as hub:` and HF_ENDPOINT=hub.url.

Repositories of data sets and models with commits, branches and tags; upload by way of preupload, Git LFS (basic and
multipart) and commits; tree, paths, refs; `resolve` with a redirect of large files to another origin (`localhost`), as
to a CDN. It keeps everything in memory, records every request, and misbehaves on demand.

The client uses Xet wherever hf_xet is installed, without asking: set HF_HUB_DISABLE_XET=1. With `Hub.xet`, a folder, it
may upload by Xet instead: hf_xet itself keeps the chunks there, and the Hub takes sizes and hashes on trust.

A data set goes by the name `user/name` here, a model by `models/user/name`.

    with serving() as hub:
        hub.create("user/name")
        hub.commit("user/name", {"a/b.txt": b"..."})
        hub.files("user/name")          # {"a/b.txt": b"..."} at the head of main
        hub.fault = lambda request, before: Fault(status=503) if before == 0 else None
"""

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_" + "canary" * 5
LFS_SUFFIXES = (".tar", ".parquet", ".mp4", ".png", ".jpg", ".npz", ".safetensors", ".h5", ".hdf5", ".zip", ".gz")
MAX_REGULAR_BYTES = 10_000_000
PAGE = 1000
BATCH = 256
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for; `path` without the query, as sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    host: str
    at_seconds: float

    @property
    def kind(self) -> str:
        """`api`, `resolve`, `lfs`, `storage` (uploads), `cdn` (downloads) or `page`."""
        if self.path.startswith("/api/"):
            return "api"
        for kind, mark in (
            ("lfs", ".git/info/lfs/"),
            ("resolve", "/resolve/"),
            ("storage", "/storage/"),
            ("cdn", "/cdn/"),
        ):
            if mark in self.path:
                return kind
        return "page"


@dataclass(slots=True, kw_only=True)
class Fault:
    """What to do instead of answering well: one of the fields.

    Attributes:
        status: to answer with, and `retry_after` beside it.
        short: bytes of the answer to send before the connection closes in good order.
        reset: bytes of the answer to send before the connection is reset.
        stall: bytes of the answer to send before nothing comes any more.
        cut: bytes of the request to read before the connection is reset.
        lost: do what was asked, then reset the connection without an answer.
        slow: seconds to wait before the answer.
        flip: which byte of the answer to damage.
    """

    status: int | None = None
    retry_after: str | None = None
    short: int | None = None
    reset: int | None = None
    stall: int | None = None
    cut: int | None = None
    lost: bool = False
    slow: float = 0.0
    flip: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file of a commit: its bytes by SHA-256 for large files, else themselves."""

    size: int
    oid: str
    sha256: str | None
    data: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit: its files, and where it came from."""

    oid: str
    title: str
    parent: str | None
    tree: Mapping[str, Blob]


@dataclass(slots=True, kw_only=True)
class Repo:
    """A repository: `refs` has commits by branch or tag name; `history` all commits in their order."""

    private: bool
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)


class HttpError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, text: str, code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.code = code


@dataclass(slots=True, kw_only=True)
class Hub:
    """A running Hub.

    Attributes:
        url: for HF_ENDPOINT.
        token: the only one that may write and see what is private.
        chunk_size: part size of multipart uploads; None: every upload is a single one.
        verify: whether uploads end with a call of `verify`.
        careless: the path of a large file for which other bytes are committed.
        xet: the folder that Xet uploads go to; None: there is no Xet.
        fault: called for every request with the number of those of the same method, path and range before it.
        objects: the large files by SHA-256.
    """

    url: str
    token: str = TOKEN
    chunk_size: int | None = None
    verify: bool = True
    careless: str = ""
    xet: Path | None = None
    fault: Callable[[Request, int], Fault | None] = lambda *_: None
    requests: list[Request] = field(default_factory=list)
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)
    closing: threading.Event = field(default_factory=threading.Event)
    seen: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def create(self, repo_id: str, *, private: bool = False) -> None:
        """Makes an empty repository, whose first commit has a `.gitattributes`."""
        with self.lock:
            if repo_id in self.repos:
                raise HttpError(409, "You already created this dataset repo")
            self.repos[repo_id] = Repo(private=private)
            attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
            self._add(repo_id, "main", {".gitattributes": regular(attributes.encode())}, "initial commit", None)

    def commit(self, repo_id: str, files: Mapping[str, bytes], *, branch: str = "main", title: str = "Upload") -> str:
        """Adds files as somebody else would; returns the commit."""
        with self.lock:
            parent = self.head(repo_id, branch)
            added = {path: self._blob(path, data) for path, data in files.items()}
            return self._add(repo_id, branch, {**self.repos[repo_id].commits[parent].tree, **added}, title, parent)

    def head(self, repo_id: str, revision: str = "main") -> str:
        """The commit of a branch, tag or (abbreviated) commit."""
        repo = self.repo(repo_id)
        commit = (
            repo.refs.get(revision) or repo.tags.get(revision) or repo.refs.get(revision.removeprefix("refs/heads/"))
        )
        if commit is None and revision in repo.commits:
            commit = revision
        if commit is None:
            raise HttpError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def repo(self, repo_id: str) -> Repo:
        """A repository."""
        if repo_id not in self.repos:
            raise HttpError(404, "Repository not found", "RepoNotFound")
        return self.repos[repo_id]

    def tree(self, repo_id: str, revision: str = "main") -> Mapping[str, Blob]:
        """The files of a revision."""
        return self.repo(repo_id).commits[self.head(repo_id, revision)].tree

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """The bytes of the files of a revision."""
        return {path: self.data(blob) for path, blob in self.tree(repo_id, revision).items()}

    def history(self, repo_id: str, branch: str = "main") -> list[Commit]:
        """The commits of a branch, the first one first."""
        repo, commits = self.repo(repo_id), []
        commit: str | None = self.head(repo_id, branch)
        while commit is not None:
            commits.append(repo.commits[commit])
            commit = commits[-1].parent
        return commits[::-1]

    def data(self, blob: Blob) -> bytes:
        """The bytes of a file."""
        return self.objects[blob.sha256] if blob.data is None else blob.data  # type: ignore[index]

    def asked(self, method: str, pattern: str) -> list[Request]:
        """The requests of a method whose path matches somewhere."""
        return [request for request in self.requests if request.method == method and re.search(pattern, request.path)]

    def _blob(self, path: str, data: bytes) -> Blob:
        if not is_large(path, len(data)):
            return regular(data)
        sha256 = hashlib.sha256(data).hexdigest()
        self.objects[sha256] = data
        return large(sha256, len(data))

    def _add(self, repo_id: str, branch: str, tree: Mapping[str, Blob], title: str, parent: str | None) -> str:
        repo = self.repos[repo_id]
        value = json.dumps([repo_id, len(repo.commits), parent, title, sorted((p, b.oid) for p, b in tree.items())])
        oid = hashlib.sha1(value.encode()).hexdigest()
        repo.commits[oid] = Commit(oid=oid, title=title, parent=parent, tree=dict(tree))
        repo.refs[branch] = oid
        return oid

    def apply(self, repo_id: str, branch: str, lines: list[dict[str, Any]]) -> str:
        """Makes the commit that the lines of a commit request describe."""
        header, *operations = lines
        with self.lock:
            parent = self.head(repo_id, branch)
            if branch not in self.repo(repo_id).refs:
                raise HttpError(400, "commits go to branches")
            if header["value"].get("parentCommit", parent) != parent:
                raise HttpError(412, "A commit has happened since. Please refresh and try again.")
            tree = dict(self.repo(repo_id).commits[parent].tree)
            for operation in operations:
                self._apply(tree, operation["key"], operation["value"])
            return self._add(repo_id, branch, tree, header["value"]["summary"], parent)

    def _apply(self, tree: dict[str, Blob], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            data = base64.b64decode(value["content"])
            if is_large(path, len(data)):
                raise HttpError(400, f"{path} must be uploaded as a large file")
            tree[path] = regular(data)
        elif key == "lfsFile" and path == self.careless:
            tree[path] = self._blob(path, b"other")
        elif key == "lfsFile":
            data = self.objects.get(value["oid"], b"")
            if value["oid"] not in self.objects and self.xet is not None:
                tree[path] = large(value["oid"], value["size"])
                return
            if value["oid"] not in self.objects or value.get("size", len(data)) != len(data):
                raise HttpError(400, f"the large file {path} was not uploaded")
            tree[path] = large(value["oid"], len(data))
        elif key == "deletedFile":
            if tree.pop(path, None) is None:
                raise HttpError(404, "A file with this name doesn't exist", "EntryNotFound")
        elif key == "deletedFolder":
            for name in [name for name in tree if name.startswith(path.rstrip("/") + "/")]:
                del tree[name]
        else:
            raise HttpError(400, f"unknown operation {key}")


def is_large(path: str, size: int) -> bool:
    """Whether `.gitattributes` or its size make it a large file; an empty one never is."""
    return size > 0 and (path.endswith(LFS_SUFFIXES) or size > MAX_REGULAR_BYTES)


def regular(data: bytes) -> Blob:
    """A file in Git itself."""
    return Blob(size=len(data), oid=_git_oid(data), sha256=None, data=data)


def large(sha256: str, size: int) -> Blob:
    """A file in Git LFS."""
    return Blob(size=size, oid=_git_oid(_pointer(sha256, size)), sha256=sha256, data=None)


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serving(*, chunk_size: int | None = None, verify: bool = True) -> Iterator[Hub]:
    """Runs a Hub on loopback."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    http.socket.listen(128)
    hub = Hub(url=f"http://127.0.0.1:{http.server_port}", chunk_size=chunk_size, verify=verify)
    http.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        http.shutdown()
        thread.join()
        http.server_close()


Answer = tuple[int, bytes, dict[str, str]]


def _json(value: object, headers: Mapping[str, str] | None = None) -> Answer:
    return 200, json.dumps(value).encode(), {**JSON, **(headers or {})}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):  # a client that was killed
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path,
            query=parts.query,
            headers={name.lower(): value for name, value in self.headers.items()},
            host=self.headers.get("Host", ""),
            at_seconds=time.monotonic(),
        )
        with self.hub.lock:
            key = (request.method, request.path, request.headers.get("range", ""))
            before = self.hub.seen[key]
            self.hub.seen[key] += 1
            self.hub.requests.append(request)
        fault = self.hub.fault(request, before) or Fault()
        body = self._body(fault.cut)
        if body is None:
            self._reset()
            return
        if fault.status is not None:
            self._send((fault.status, b"{}", {"Retry-After": fault.retry_after} if fault.retry_after else {}), Fault())
            return
        try:
            answer = self._answer(request, body)
        except HttpError as error:
            headers = {**JSON, "X-Error-Message": str(error), **({"X-Error-Code": error.code} if error.code else {})}
            answer = error.status, json.dumps({"error": str(error)}).encode(), headers
        if fault.lost:
            self._reset()
            return
        time.sleep(fault.slow)
        self._send(answer, fault)

    def _body(self, cut: int | None) -> bytes | None:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return None if cut is not None else b"".join(chunks)
        size = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(min(size, cut) if cut is not None else size)
        if len(body) < size or cut is not None:
            return None
        return body

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _send(self, answer: Answer, fault: Fault) -> None:
        status, data, headers = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), "X-Request-Id": "loopback", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.flip is not None:
            data = data[: fault.flip] + bytes([data[fault.flip] ^ 1]) + data[fault.flip + 1 :]
        first = next((n for n in (fault.short, fault.reset, fault.stall) if n is not None), len(data))
        self.wfile.write(data[:first])
        self.wfile.flush()
        if fault.stall is not None:
            self.hub.closing.wait()
        if fault.reset is not None:
            self._reset()
        if first < len(data):
            self.close_connection = True

    def _answer(self, request: Request, body: bytes) -> Answer:
        for pattern, call in _ROUTES:
            found = re.fullmatch(pattern, f"{request.method} {request.path}")
            if found:
                groups = {place: unquote(group or "") for place, group in enumerate(found.groups())}
                if "repo" in found.groupdict():
                    groups[0] = _repo_id(groups[0])
                return call(self, request, body, *groups.values())
        raise HttpError(404, f"no such page: {request.method} {request.path}")

    def _allow(self, request: Request, repo_id: str = "", *, write: bool = False) -> None:
        """Refuses who may not: unknown and private repositories look alike to strangers."""
        known = request.headers.get("authorization", "") == f"Bearer {self.hub.token}"
        if write and not known:
            raise HttpError(401, "Invalid username or password.")
        if repo_id and not known and (repo_id not in self.hub.repos or self.hub.repos[repo_id].private):
            raise HttpError(401, "Invalid username or password.", "RepoNotFound")
        if repo_id:
            self.hub.repo(repo_id)

    def create(self, request: Request, body: bytes) -> Answer:
        self._allow(request, write=True)
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'user'}/{asked['name']}"
        repo_id = name if asked.get("type") == "dataset" else f"models/{name}"
        url = {"url": f"{self.hub.url}/{_page(repo_id)}", "name": name}
        try:
            self.hub.create(repo_id, private=asked.get("visibility") == "private")
        except HttpError as error:
            return error.status, json.dumps({**url, "error": str(error)}).encode(), JSON
        return _json(url)

    def whoami(self, request: Request, body: bytes) -> Answer:  # noqa: ARG002
        self._allow(request, write=True)
        return _json({"type": "user", "name": "user", "auth": {"accessToken": {"role": "write"}}})

    def validate_yaml(self, request: Request, body: bytes) -> Answer:  # noqa: ARG002
        from huggingface_hub import RepoCard

        try:
            RepoCard(json.loads(body)["content"])
        except ValueError as error:
            return 400, json.dumps({"errors": [{"message": str(error)}]}).encode(), JSON
        return _json({"errors": [], "warnings": []})

    def info(self, request: Request, body: bytes, repo_id: str, revision: str) -> Answer:  # noqa: ARG002
        self._allow(request, repo_id)
        commit = self.hub.head(repo_id, revision or "main")
        tree = self.hub.tree(repo_id, commit)
        value = {
            "_id": "0" * 24,
            "id": repo_id.removeprefix("models/"),
            "author": repo_id.split("/")[-2],
            "sha": commit,
            "private": self.hub.repos[repo_id].private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": path} for path in tree],
        }
        return _json(value)

    def list_tree(self, request: Request, body: bytes, repo_id: str, revision: str, folder: str) -> Answer:  # noqa: ARG002
        self._allow(request, repo_id)
        query = parse_qs(request.query)
        recursive = query.get("recursive", ["false"])[0].lower() == "true"
        prefix = f"{folder}/" if folder else ""
        tree = self.hub.tree(repo_id, revision)
        entries: dict[str, dict[str, Any]] = {}
        for path, blob in sorted(tree.items()):
            if path.startswith(prefix):
                names = path[len(prefix) :].split("/")
                for depth in range(1, len(names) if recursive else min(len(names), 2)):
                    parent = prefix + "/".join(names[:depth])
                    entries[parent] = {"type": "directory", "oid": _git_oid(parent.encode()), "size": 0, "path": parent}
                if recursive or len(names) == 1:
                    entries[path] = _entry(path, blob)
        if prefix and not entries:
            raise HttpError(404, f"{folder} does not exist", "EntryNotFound")
        start = int(query.get("cursor", ["0"])[0])
        page = list(entries.values())[start : start + PAGE]
        headers = {}
        if start + PAGE < len(entries):
            following = f"{self.hub.url}{request.path}?recursive={recursive}&expand=False&cursor={start + PAGE}"
            headers["Link"] = f'<{following}>; rel="next"'
        return _json(page, headers)

    def paths_info(self, request: Request, body: bytes, repo_id: str, revision: str) -> Answer:
        self._allow(request, repo_id)
        is_json = "json" in request.headers.get("content-type", "")
        paths = json.loads(body)["paths"] if is_json else parse_qs(body.decode()).get("paths", [])
        if len(paths) > 1000:
            raise HttpError(413, "too many parameters")
        tree = self.hub.tree(repo_id, revision)
        found = [_entry(path, tree[path]) for path in paths if path in tree]
        folders = [path for path in paths if any(name.startswith(f"{path}/") for name in tree)]
        found += [{"type": "directory", "oid": _git_oid(path.encode()), "size": 0, "path": path} for path in folders]
        return _json(found)

    def refs(self, request: Request, body: bytes, repo_id: str) -> Answer:  # noqa: ARG002
        self._allow(request, repo_id)
        repo = self.hub.repos[repo_id]
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in repo.refs.items()]
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in repo.tags.items()]
        return _json({"branches": branches, "tags": tags, "converts": []})

    def branch(self, request: Request, body: bytes, repo_id: str, name: str) -> Answer:
        self._allow(request, repo_id, write=True)
        with self.hub.lock:
            repo = self.hub.repos[repo_id]
            if request.method == "DELETE":
                if repo.refs.pop(name, None) is None:
                    raise HttpError(404, "no such branch", "RevisionNotFound")
                return _json({})
            if name in repo.refs:
                raise HttpError(409, f"Reference already exists: {name}")
            repo.refs[name] = self.hub.head(repo_id, json.loads(body or b"{}").get("startingPoint", "main"))
        return _json({})

    def tag(self, request: Request, body: bytes, repo_id: str, revision: str) -> Answer:
        self._allow(request, repo_id, write=True)
        with self.hub.lock:
            name = json.loads(body)["tag"]
            if name in self.hub.repos[repo_id].tags:
                raise HttpError(409, f"Tag reference exists already: {name}")
            self.hub.repos[repo_id].tags[name] = self.hub.head(repo_id, revision)
        return _json({})

    def preupload(self, request: Request, body: bytes, repo_id: str, revision: str) -> Answer:
        self._allow(request, repo_id, write=True)
        files = json.loads(body)["files"]
        if len(files) > BATCH:
            raise HttpError(413, "too many files")
        tree = self.hub.tree(repo_id, revision)
        answers = []
        for file in files:
            mode = "lfs" if is_large(file["path"], file["size"]) else "regular"
            there = tree.get(file["path"])
            oid = None if there is None else there.sha256 or there.oid
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return _json({"files": answers, "commitOid": self.hub.head(repo_id, revision)})

    def xet_token(self, request: Request, body: bytes, repo_id: str) -> Answer:  # noqa: ARG002
        self._allow(request, repo_id, write=True)
        if self.hub.xet is None:
            raise HttpError(404, "there is no Xet here")
        value = {"casUrl": f"local://{self.hub.xet}", "exp": 4102444800, "accessToken": "xet"}
        headers = {
            "X-Xet-Cas-Url": value["casUrl"],
            "X-Xet-Access-Token": "xet",
            "X-Xet-Token-Expiration": "4102444800",
        }
        return _json(value, headers)

    def lfs_batch(self, request: Request, body: bytes, repo_id: str) -> Answer:
        self._allow(request, repo_id, write=True)
        asked = json.loads(body)
        if len(asked["objects"]) > BATCH:
            raise HttpError(413, "too many objects")
        multipart = self.hub.chunk_size is not None and "multipart" in asked["transfers"]
        objects = []
        for one in asked["objects"]:
            answer = {"oid": one["oid"], "size": one["size"], "authenticated": True}
            if one["oid"] not in self.hub.objects:
                answer["actions"] = self._actions(repo_id, one["oid"], one["size"], multipart=multipart)
            objects.append(answer)
        return _json({"transfer": "multipart" if multipart else "basic", "objects": objects})

    def _actions(self, repo_id: str, oid: str, size: int, *, multipart: bool) -> dict[str, Any]:
        storage = f"{self._other_origin()}/storage/{oid}"
        if multipart and self.hub.chunk_size is not None:
            count = -(-size // self.hub.chunk_size)
            header = {str(i + 1): f"{storage}/{i + 1}" for i in range(count)}
            header["chunk_size"] = str(self.hub.chunk_size)
            upload = {"href": f"{self.hub.url}/{_page(repo_id)}.git/info/lfs/complete/{oid}", "header": header}
        else:
            upload = {"href": f"{storage}/0"}
        actions: dict[str, Any] = {"upload": upload}
        if self.hub.verify:
            actions["verify"] = {"href": f"{self.hub.url}/{_page(repo_id)}.git/info/lfs/objects/verify"}
        return actions

    def _other_origin(self) -> str:
        return self.hub.url.replace("127.0.0.1", "localhost")

    def store(self, request: Request, body: bytes, oid: str, part: str) -> Answer:  # noqa: ARG002
        if part == "0":
            if hashlib.sha256(body).hexdigest() != oid:
                raise HttpError(400, "the bytes have another SHA-256")
            self.hub.objects[oid] = body
        else:
            self.hub.parts[oid, int(part)] = body
        return 200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}

    def complete(self, request: Request, body: bytes, repo_id: str, oid: str) -> Answer:  # noqa: ARG002
        parts = json.loads(body)["parts"]
        data = b"".join(self.hub.parts[oid, part["partNumber"]] for part in parts)
        if hashlib.sha256(data).hexdigest() != oid:
            raise HttpError(400, "the bytes have another SHA-256")
        self.hub.objects[oid] = data
        return _json({})

    def verify(self, request: Request, body: bytes, repo_id: str) -> Answer:
        self._allow(request, repo_id, write=True)
        asked = json.loads(body)
        if len(self.hub.objects.get(asked["oid"], b"")) != asked["size"]:
            raise HttpError(404, "no such object")
        return _json({})

    def make_commit(self, request: Request, body: bytes, repo_id: str, branch: str) -> Answer:
        self._allow(request, repo_id, write=True)
        commit = self.hub.apply(repo_id, branch, [json.loads(line) for line in body.splitlines()])
        url = f"{self.hub.url}/{_page(repo_id)}/commit/{commit}"
        return _json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    def resolve(self, request: Request, body: bytes, repo_id: str, revision: str, path: str) -> Answer:  # noqa: ARG002
        self._allow(request, repo_id)
        commit = self.hub.head(repo_id, revision)
        blob = self.hub.tree(repo_id, commit).get(path)
        if blob is None:
            raise HttpError(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if blob.data is not None:
            return self._content(request, blob.data, {**headers, "ETag": f'"{blob.oid}"'})
        headers["X-Linked-Etag"] = f'"{blob.sha256}"'
        headers["X-Linked-Size"] = str(blob.size)
        headers["ETag"] = f'"{blob.oid}"'
        headers["Location"] = f"{self._other_origin()}/cdn/{repo_id}/{blob.sha256}"
        return 302, b"Found", headers

    def cdn(self, request: Request, body: bytes, sha256: str) -> Answer:  # noqa: ARG002
        if sha256 not in self.hub.objects:
            raise HttpError(404, "no such object")
        return self._content(request, self.hub.objects[sha256], {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"})

    def _content(self, request: Request, data: bytes, headers: dict[str, str]) -> Answer:
        size = len(data)
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if request.method == "HEAD":
            return 200, data, headers
        if not found:
            return 200, data, headers
        start = int(found[1]) if found[1] else size - int(found[2])
        stop = min(int(found[2]) + 1, size) if found[1] and found[2] else size
        if start >= size:
            return 416, b"", {"Content-Range": f"bytes */{size}"}
        return 206, data[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


def _entry(path: str, blob: Blob) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path}
    if blob.sha256 is not None:
        pointer = len(_pointer(blob.sha256, blob.size))
        value["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": pointer}
    return value


def _repo_id(text: str) -> str:
    """Of `datasets/user/name`, `models/user/name`, or a model's `user/name`."""
    if text.startswith(("datasets/", "models/")):
        return text.removeprefix("datasets/")
    return f"models/{text}"


def _page(repo_id: str) -> str:
    """Where a repository is to be seen."""
    return repo_id.removeprefix("models/") if repo_id.startswith("models/") else f"datasets/{repo_id}"


_REPO = "/api/(?P<repo>(?:datasets|models)/[^/]+/[^/]+)"
_PAGE = "/(?P<repo>(?:datasets/)?[^/]+/[^/]+)"
_ROUTES: tuple[tuple[str, Callable[..., Answer]], ...] = (
    ("POST /api/repos/create", _Handler.create),
    ("GET /api/whoami-v2", _Handler.whoami),
    ("POST /api/validate-yaml", _Handler.validate_yaml),
    (f"GET {_REPO}(?:/revision/([^/]+))?", _Handler.info),
    (f"GET {_REPO}/tree/([^/]+)(?:/(.+))?", _Handler.list_tree),
    (f"POST {_REPO}/paths-info/([^/]+)", _Handler.paths_info),
    (f"GET {_REPO}/refs", _Handler.refs),
    (f"(?:POST|DELETE) {_REPO}/branch/(.+)", _Handler.branch),
    (f"POST {_REPO}/tag/([^/]+)", _Handler.tag),
    (f"POST {_REPO}/preupload/([^/]+)", _Handler.preupload),
    (f"POST {_REPO}/commit/([^/]+)", _Handler.make_commit),
    (f"GET {_REPO}/xet-write-token/[^/]+", _Handler.xet_token),
    (rf"POST {_PAGE}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    (rf"POST {_PAGE}\.git/info/lfs/objects/verify", _Handler.verify),
    (rf"POST {_PAGE}\.git/info/lfs/complete/([0-9a-f]+)", _Handler.complete),
    (r"PUT /storage/([0-9a-f]+)/(\d+)", _Handler.store),
    (f"(?:GET|HEAD) {_PAGE}/resolve/([^/]+)/(.+)", _Handler.resolve),
    (r"(?:GET|HEAD) /cdn/.+/([0-9a-f]+)", _Handler.cdn),
)
