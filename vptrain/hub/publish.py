"""A run or checkpoint in, its model in a repository of the Hugging Face Hub out, in one commit.

The repository holds `model.safetensors` (what `Checkpoint.load_policy` gives), `checkpoint.json`, `mixture.toml`, which
names the data sets, and the card. What was made on this machine alone, and the optimizer's state, stay here.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from vpdata.hub.api import BRANCH, File, Head, Repository
from vpdata.hub.commits import Sent, State, card_at, carry_out, planned
from vpdata.hub.plan import CARD_NAME, Step, changed_paths
from vpdata.hub.scan import Text, leaves, refuse, scan_texts
from vpdata.shards.files import sha256_of
from vptrain.checkpoint import AVERAGE, MODEL, Checkpoint, Training, sealed
from vptrain.config import ModelConfig, RunConfig, from_dict
from vptrain.errors import VptrainError
from vptrain.hub.card import write_card
from vptrain.hub.data import DataFacts, data_of
from vptrain.hub.licence import licence_of
from vptrain.training.metrics import flattened, read_metrics

CHECKPOINT, MIXTURE = "checkpoint.json", "mixture.toml"
_SHOWN = ("loss", "held_out_loss", "samples")
"""What of the metrics goes into the card, with all that is nested in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """What was done, or would be.

    Attributes:
        url: of the model at its commit; of the branch for a dry run.
        step: of the checkpoint.
        licence: under which it is published.
        num_files, num_bytes: that were new to the branch.
        num_commits: 0 where the branch held all of it already, else 1.
    """

    url: str
    step: int
    licence: str
    num_files: int
    num_bytes: int
    num_commits: int


def publish(
    run: Path,
    repo_id: str,
    *,
    private: bool = False,
    branch: str = BRANCH,
    licence: str | None = None,
    allow: Collection[str] = (),
    dry_run: bool = False,
    progress: Callable[[int], object] = lambda _: None,
) -> PublishedModel:
    """Makes a branch of a model repository hold a checkpoint; what it holds already is not sent again.

    Args:
        run: a checkpoint, or a run for its latest one.
        repo_id: `USER/NAME`. It is made where it does not exist.
        private: whether a new repository is private; an existing one stays as it is.
        branch: made from `main` where it does not exist.
        licence: see `vptrain.hub.licence.licence_of`.
        allow: kinds of findings (`vpdata.hub.scan.KINDS`) that may be published.
        dry_run: only look.
        progress: called with the number of bytes that were published since the last call.

    Raises:
        VptrainError: there is no such checkpoint, or it is damaged.
        HubError: the licence is unknown, something should perhaps not leave, the Hub refuses, or does not answer for
            long.
    """
    checkpoint = Checkpoint.open(run)
    if checkpoint.published:
        raise VptrainError("this model is published already.", path=run, hint="Publish a run of your own.")
    trainings = [data_of(training) for training in checkpoint.history]
    found = licence_of(checkpoint.model, trainings, named=licence)
    repository = Repository(repo_id, kind="model", branch=branch)
    with TemporaryDirectory(dir=checkpoint.path.parent, prefix=".publish-") as folder:
        weights = _weights(checkpoint, Path(folder))
        texts = _texts(checkpoint, trainings, weights)
        described = _as_published(checkpoint, texts)
        metrics, num_parameters = _metrics(checkpoint), _num_parameters(weights.source)

        def card(old: str) -> str:
            return write_card(
                described,
                trainings,
                repo_id=repo_id,
                licence=found,
                metrics=metrics,
                num_parameters=num_parameters,
                old=old,
            )

        scanned = [*leaves(CHECKPOINT, "", json.loads(texts[CHECKPOINT])), Text(CARD_NAME, "text", card(""))]
        scanned += [Text(MIXTURE, "text", texts[MIXTURE])] if MIXTURE in texts else []
        remedy = "Publish a run whose configuration and mixture do without"
        refuse(scan_texts(scanned), allow=allow, path=str(run), remedy=remedy)

        def state() -> State:
            head = repository.head()
            shown = {**texts, CARD_NAME: card(card_at(repository, head))}
            files = {MODEL: weights, **{path: File.of(text.encode()) for path, text in shown.items()}}
            return State(head=head, files=files, steps=_steps(files, head))

        if dry_run:
            return _published(repository.url, checkpoint, found.name or found.id, planned(state()))
        sent = carry_out(repository, state, private=private, what="model", progress=progress)
    return _published(f"hf://{repo_id}@{sent.commit}", checkpoint, found.name or found.id, sent)


def _weights(checkpoint: Checkpoint, folder: Path) -> File:
    """The weights that the policy is used with: as they lie, or written to `folder` where they are put together."""
    path = checkpoint.path / MODEL
    if AVERAGE in checkpoint.files or checkpoint.run.lora_rank is not None:
        path = folder / MODEL
        tensors = checkpoint.load_policy().state_dict()
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return File(source=path, size=path.stat().st_size, sha256=sha256_of(path))


def _texts(checkpoint: Checkpoint, trainings: list[DataFacts], weights: File) -> dict[str, str]:
    """The small files without the card: nothing in them names a folder of this machine."""
    mixture = trainings[-1].mixture
    values = _without_folders(json.loads((checkpoint.path / CHECKPOINT).read_text()))
    values["published"] = True
    values["files"] = {MODEL: weights.sha256}
    values["data"]["mixture"] = MIXTURE if mixture else Path(checkpoint.data.mixture).name
    values["before"] = [_described(training) for training in checkpoint.before]
    texts = {CHECKPOINT: sealed(values)}
    return {**texts, MIXTURE: mixture} if mixture else texts


def _as_published(checkpoint: Checkpoint, texts: Mapping[str, str]) -> Checkpoint:
    """With the configuration that is published."""
    values = json.loads(texts[CHECKPOINT])
    return replace(checkpoint, model=from_dict(ModelConfig, values["model"]), run=from_dict(RunConfig, values["run"]))


def _described(training: Training) -> dict[str, Any]:
    return {
        "stage": training.stage,
        "step": training.step,
        "mixture": Path(training.mixture).name,
        "digest": training.digest,
        "place": training.place if training.place.startswith("hf://") else "",
    }


def _without_folders(value: Any) -> Any:
    """The same value with the last name alone of every absolute path."""
    if isinstance(value, dict):
        return {key: _without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _metrics(checkpoint: Checkpoint) -> Mapping[str, tuple[int, float]]:
    """The last value of every metric up to the checkpoint's step, and its step."""
    path = checkpoint.path.parent.parent / "metrics.jsonl"
    last: dict[str, tuple[int, float]] = {}
    for line in read_metrics(path) if path.is_file() else []:
        if line["step"] <= checkpoint.step:
            chosen = {name: value for name, value in line.items() if name.startswith(_SHOWN)}
            last.update({name: (line["step"], value) for name, value in flattened(chosen).items()})
    return last


def _num_parameters(path: Path | bytes) -> int:
    assert isinstance(path, Path)
    with safe_open(path, "pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _steps(files: Mapping[str, File], head: Head | None) -> tuple[Step, ...]:
    """One commit of what differs, none where nothing does; files that no publishing makes are left alone."""
    there = {} if head is None else head.files
    changed = changed_paths(files, there)
    gone = tuple(path for path in (MIXTURE,) if path in there and path not in files)
    return (Step(add=changed, delete=gone, is_last=True),) if changed or gone else ()


def _published(url: str, checkpoint: Checkpoint, licence: str, sent: Sent) -> PublishedModel:
    return PublishedModel(
        url=url,
        step=checkpoint.step,
        licence=licence,
        num_files=sent.num_files,
        num_bytes=sent.num_bytes,
        num_commits=sent.num_commits,
    )
