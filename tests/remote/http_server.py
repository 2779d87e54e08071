"""A folder in, a real HTTP server for it out, which knows ranges and misbehaves on demand.

It also answers for the Hugging Face Hub and for S3, as far as reading a data set goes:
`/api/datasets/USER/NAME/revision/REVISION` tells the commit, `/datasets/USER/NAME/resolve/COMMIT/…` sends files, and
whatever lies under a folder of the name of a bucket is in that bucket.
"""

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for: path, and the range [start, stop) of a partial request."""

    path: str
    range: tuple[int, int] | None
    headers: dict[str, str]


@dataclass(slots=True, kw_only=True)
class Fault:
    """What to do instead of answering: one of the fields.

    Attributes:
        status: to answer with, and `retry_after` beside it.
        short: bytes to send before the connection closes in good order.
        reset: bytes to send before the connection is reset.
        stall: bytes to send before nothing comes any more.
        flip: which byte of the answer to damage.
        whole: ignore the range.
        slow: seconds to wait between the halves of the answer.
    """

    status: int | None = None
    retry_after: str | None = None
    short: int | None = None
    reset: int | None = None
    stall: int | None = None
    flip: int | None = None
    whole: bool = False
    slow: float = 0.0

    def __str__(self) -> str:
        values = ((one.name, getattr(self, one.name), one.default) for one in fields(self))
        return ",".join(f"{name}={value}" for name, value, default in values if value != default)


@dataclass(slots=True, kw_only=True)
class Server:
    """A running server: its URL, the requests that it got, and what is wrong with it.

    Attributes:
        fault: called for every request with the number of those for the same path and range before it; None: answer.
    """

    url: str
    folder: Path
    requests: list[Request] = field(default_factory=list)
    fault: Callable[[Request, int], Fault | None] = lambda *_: None
    closing: threading.Event = field(default_factory=threading.Event)

    def asked(self, suffix: str) -> list[Request]:
        """The requests for paths with this ending."""
        return [request for request in self.requests if request.path.endswith(suffix)]


@contextmanager
def serving(folder: Path, *, port: int = 0) -> Iterator[Server]:
    """Serves a folder on loopback."""
    http = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    http.daemon_threads = True
    server = Server(url=f"http://127.0.0.1:{http.server_port}", folder=folder)
    http.vpdata = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Server = self.server.vpdata  # type: ignore[attr-defined]
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        wanted = (int(found[1]), int(found[2]) + 1) if found else None
        request = Request(path=self.path, range=wanted, headers=dict(self.headers))
        before = sum((r.path, r.range) == (request.path, request.range) for r in server.requests)
        server.requests.append(request)
        fault = server.fault(request, before) or Fault()
        if fault.status is not None:
            self._send(fault.status, b"{}", {"Retry-After": fault.retry_after} if fault.retry_after else {})
            return
        if self.path.startswith("/api/datasets/"):
            self._send(200, json.dumps({"id": "user/name", "sha": COMMIT}).encode(), {})
            return
        path = server.folder / re.sub(rf"^/datasets/user/name/resolve/{COMMIT}", "", self.path).lstrip("/")
        if not path.is_file():
            self._send(404, b"", {})
            return
        data = path.read_bytes()
        if wanted and not fault.whole:
            size, (start, stop) = len(data), wanted
            if start >= size:
                self._send(416, b"", {})
                return
            data = data[start:stop]
            self._send(206, data, {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{size}"}, fault)
        else:
            self._send(200, data, {}, fault)

    def _send(self, status: int, data: bytes, headers: dict[str, str], fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        fault = fault or Fault()
        if fault.flip is not None:
            data = data[: fault.flip] + bytes([data[fault.flip] ^ 1]) + data[fault.flip + 1 :]
        half = next((n for n in (fault.short, fault.reset, fault.stall) if n is not None), len(data) // 2)
        self.wfile.write(data[:half])
        self.wfile.flush()
        if fault.stall is not None:
            self._closing.wait()
            self.close_connection = True
        elif fault.short is not None:
            self.close_connection = True
        elif fault.reset is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:
            time.sleep(fault.slow)
            self.wfile.write(data[half:])

    @property
    def _closing(self) -> threading.Event:
        server: Server = self.server.vpdata  # type: ignore[attr-defined]
        return server.closing

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""
