"""URLs of Hugging Face Hub data sets in, `hf://datasets/USER/NAME[@REVISION][/FOLDER]`; commits and https URLs out."""

import re

from vpdata.errors import ShardError

_PATTERN = re.compile(r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<folder>.+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub(url: str) -> bool:
    """Whether the URL is one of the Hub."""
    return url.startswith("hf://")


def pinned(url: str) -> str:
    """The same URL with the commit that its revision (or else `main`) is at now; unchanged where it names a commit.

    Raises:
        ShardError: this is no URL of a data set, there is no such repository or revision, or it cannot be reached.
    """
    repo, revision, folder = _parts(url)
    if revision and _COMMIT.fullmatch(revision):
        return url
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    faults: tuple[type[BaseException], ...] = (*HfHubHTTPError.__bases__, HFValidationError)  # those of its httpx too
    try:
        commit = HfApi().dataset_info(repo, revision=revision.replace("%2F", "/") or None, timeout=30).sha
    except faults as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "Check its name and the network; for a private one log in with `hf auth login`, or set HF_TOKEN."
        raise ShardError(f"the revision cannot be looked up ({reason}).", path=url, hint=hint) from error
    return f"hf://datasets/{repo}@{commit}" + (f"/{folder}" if folder else "")


def resolved(url: str) -> tuple[str, dict[str, str]]:
    """The https URL of a pinned folder, and the headers that a request for its files needs."""
    from huggingface_hub import get_token, hf_hub_url

    repo, revision, folder = _parts(url)
    base = hf_hub_url(repo, f"{folder}/_" if folder else "_", repo_type="dataset", revision=revision)
    token = get_token()
    return base.removesuffix("/_"), {"Authorization": f"Bearer {token}"} if token else {}


def _parts(url: str) -> tuple[str, str, str]:
    found = _PATTERN.fullmatch(url.rstrip("/"))
    if found is None:
        raise ShardError("this is no data set of the Hub.", path=url, hint="Write hf://datasets/USER/NAME@REVISION.")
    return found["repo"], found["revision"] or "", found["folder"] or ""
