"""A URL and a range of bytes in, those bytes out, in spite of passing network faults.

`fsspec` moves the bytes, without any of its caches: every request asks for exactly what is wanted. Folders on the
Hugging Face Hub are read over https at one commit, see `vpdata.shards.hub_url`.
"""

import email.utils
import inspect
import os
import random
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from vpdata.errors import ShardError
from vpdata.shards import hub_url

_S3 = ("s3", "s3a")
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_inherited: list[Any] = []  # file systems of the parent: closed in a forked child, they would disturb the parent's


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to bear with a network.

    Attributes:
        first_seconds: wait before the second try; it doubles from try to try, and a random half of it is left out.
        total_seconds: no try begins later than this after the first, whatever wait a server asks for (`Retry-After`).
            Less than what the loader grants a worker before it takes it for hanging.
        stall_seconds: silence of a server that counts as a fault.
    """

    first_seconds: float = 0.5
    total_seconds: float = 40.0
    stall_seconds: float = 10.0


class _Fault(Exception):
    """Why a request failed; `passing` where another try may help; `wait_seconds` that the server asks for."""

    def __init__(
        self, text: str, *, status: int | None = None, passing: bool = True, wait_seconds: float = 0.0
    ) -> None:
        super().__init__(text)
        self.status = status
        self.passing = passing
        self.wait_seconds = wait_seconds


class RemoteFolder:
    """The files below a URL. May be shared between threads and processes; each process opens its own connections.

    Raises:
        ShardError: the URL carries a password or a query.
    """

    def __init__(self, url: str, *, patience: Patience) -> None:
        self.url = url.rstrip("/")
        self._patience = patience
        self._opened: tuple[int, str, Any, tuple[type[Exception], ...]] | None = None
        parts = urlsplit(url)
        if "@" in parts.netloc and parts.scheme != "hf":
            raise ShardError(
                "the URL carries a user name or password, which would end up in mixture files and messages.",
                path=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
                hint="Leave it out, and put it into ~/.netrc.",
            )
        if parts.query or parts.fragment:
            what = "the URL of a data set is that of its folder, without `?` and `#`."
            raise ShardError(what, path=f"{parts.scheme}://{parts.netloc}{parts.path}")

    def pin(self) -> None:
        """Makes the URL of a Hub repository that of the commit it is at now; others stay as they are."""
        if hub_url.is_hub(self.url):
            self.url = hub_url.pinned(self.url)

    def read(self, name: str, *, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes [start, stop) of a file, all of it without a stop. Tries again where a fault may pass.

        Raises:
            ShardError: the file is not there, may not be read, or the network's faults did not pass.
        """
        began = time.monotonic()
        tries = 0
        while True:
            tries += 1
            try:
                return self._try(name, start=start, stop=stop)
            except _Fault as fault:
                backoff = self._patience.first_seconds * 2 ** (tries - 1) * random.uniform(0.5, 1)
                wait = max(backoff, fault.wait_seconds)
                if not fault.passing or time.monotonic() - began + wait > self._patience.total_seconds:
                    asks = f" and asks to wait {fault.wait_seconds:.0f} s" if fault.wait_seconds else ""
                    after = f", {tries} times" if tries > 1 else ""
                    what = f"{fault}{asks}{after}."
                    raise ShardError(what, path=f"{self.url}/{name}", hint=_hint(fault, self.url)) from fault
            time.sleep(wait)

    def _try(self, name: str, *, start: int, stop: int | None) -> bytes:
        base, files, faults = self._connection()
        limits = {} if start == 0 and stop is None else {"start": start, "end": stop}
        try:
            data: bytes = files.cat_file(f"{base}/{name}", **limits, **_uncached(files))
        except FileNotFoundError as error:
            raise _Fault("there is no such file (404)", status=404, passing=False) from error
        except faults as error:
            raise _fault(error) from error
        if stop is not None and len(data) != stop - start:
            raise _Fault(f"got {len(data)} of {stop - start} bytes")
        return data

    def _connection(self) -> tuple[str, Any, tuple[type[Exception], ...]]:
        """Where the files are, the file system of this process, and the exceptions that are the network's faults.

        Raises:
            ShardError: the protocol is unknown, needs a package that is missing, or the revision cannot be looked up.
        """
        if self._opened is None or self._opened[0] != os.getpid():
            if self._opened is not None:
                _inherited.append(self._opened[2])
            self.pin()
            base, headers = hub_url.resolved(self.url) if hub_url.is_hub(self.url) else (self.url, {})
            self._opened = (os.getpid(), base, *_file_system(base, headers=headers, patience=self._patience))
        return self._opened[1:]


def _file_system(url: str, *, headers: dict[str, str], patience: Patience) -> tuple[Any, tuple[type[Exception], ...]]:
    """A new fsspec file system for the URL, and the exceptions by which it reports faults of the network."""
    import fsspec

    protocol, separator, _ = url.partition("://")
    if not separator:
        hint = "Write hf://datasets/USER/NAME, s3://BUCKET/FOLDER or https://HOST/FOLDER."
        raise ShardError("this is no URL.", path=url, hint=hint)
    if protocol not in fsspec.available_protocols():
        raise ShardError(f"fsspec knows no protocol {protocol}://.", path=url)
    options: dict[str, Any] = {}
    faults: tuple[type[Exception], ...] = (OSError,)
    try:
        kind = fsspec.get_filesystem_class(protocol)
        if "host" in inspect.signature(kind.__init__).parameters:
            hint = "Put the data set behind hf://, s3:// or https://."
            raise ShardError(f"{protocol}:// servers are not read.", path=url, hint=hint)
        if protocol in ("http", "https"):
            import aiohttp

            options = _http_options(url, headers, patience)
            faults = (OSError, aiohttp.ClientError)
        elif protocol in _S3:
            import aiohttp
            from botocore.exceptions import BotoCoreError, ClientError

            stall = patience.stall_seconds
            limits = {"connect_timeout": stall, "read_timeout": stall, "retries": {"total_max_attempts": 1}}
            options = {"config_kwargs": limits, "max_concurrency": 1}
            faults = (OSError, aiohttp.ClientError, BotoCoreError, ClientError)
        files = kind(skip_instance_cache=True, use_listings_cache=False, **options)
        if protocol in _S3:
            files.retries = 1  # no patience of its own
        return files, faults
    except ImportError as error:
        extra = "s3" if protocol in _S3 else "remote"
        hint = f"Install it: pip install 'vpdata[{extra}]'."
        raise ShardError(f"{protocol}:// needs a package that is missing ({error}).", path=url, hint=hint) from error


def _http_options(url: str, headers: dict[str, str], patience: Patience) -> dict[str, Any]:
    import aiohttp
    from yarl import URL

    origin = URL(url).origin()

    async def with_headers(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.url.origin() == origin:  # not where the server redirects to
            request.headers.update(headers)
        return await handler(request)

    async def ranged(response: aiohttp.ClientResponse) -> None:
        if response.status == HTTPStatus.OK and "Range" in response.request_info.headers:
            raise _RangesIgnored

    stall = patience.stall_seconds
    return {
        "client_kwargs": {
            "headers": {"Accept-Encoding": "identity"},  # or ranges would count compressed bytes
            "timeout": aiohttp.ClientTimeout(total=None, connect=stall, sock_connect=stall, sock_read=stall),
            "middlewares": (with_headers,),
            "raise_for_status": ranged,
            "trust_env": True,  # ~/.netrc and the proxies of the environment
        }
    }


class _RangesIgnored(OSError):
    """The server sends whole files where ranges are asked for."""


def _uncached(files: Any) -> dict[str, Any]:
    """What tells `cat_file` to read no further than it is asked; those that are asynchronous never do."""
    return {} if files.async_impl else {"cache_type": "none"}


def _fault(error: Exception) -> _Fault:
    if isinstance(error, _RangesIgnored):
        return _Fault("the server cannot send parts of a file (it ignores `Range`)", passing=False)
    if isinstance(error, PermissionError):
        return _Fault("access is denied", status=403, passing=False)
    status, headers = _response(error)
    if status is None:
        detail = str(error).strip() or type(error).__name__
        return _Fault(f"the network failed ({detail})")
    phrase = HTTPStatus(status).phrase if status in list(HTTPStatus) else "unknown status"
    return _Fault(
        f"the server answered {status} ({phrase})",
        status=status,
        passing=status in _PASSING_STATUS,
        wait_seconds=_seconds(headers.get("Retry-After") or headers.get("retry-after") or ""),
    )


def _response(error: Exception) -> tuple[int | None, Any]:
    """Status and headers of the answer behind an error of aiohttp, or of botocore as s3fs translates it."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict) and "ResponseMetadata" in response:
            metadata = response["ResponseMetadata"]
            return metadata.get("HTTPStatusCode"), metadata.get("HTTPHeaders", {})
        status = getattr(one, "status", None)
        if isinstance(status, int) and status >= HTTPStatus.BAD_REQUEST:
            return status, getattr(one, "headers", None) or {}
    return None, {}


def _seconds(retry_after: str) -> float:
    """What a `Retry-After` header asks for: seconds or a date; 0 where it is neither."""
    if retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0


def _hint(fault: _Fault, url: str) -> str:
    if fault.status in (401, 403):
        if hub_url.is_hub(url):
            return "Log in with `hf auth login`, or set HF_TOKEN."
        if url.startswith("s3"):
            return "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or FSSPEC_S3_ANON=true for a public bucket."
        return "Put user name and password into ~/.netrc."
    if fault.status == HTTPStatus.NOT_FOUND:
        return "Check the URL; it is that of the folder with manifest.json."
    if fault.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return "The file is shorter than its index says: it was replaced or cut off; publish it again."
    if not fault.passing:
        return "Serve the data set from a server that supports ranges, or copy it to this machine."
    return "Check the network and the server, then run again: what has arrived is kept."
