"""The configuration of a model and what it was trained on in; the licence under which it may be published out."""

from collections.abc import Sequence
from dataclasses import dataclass

from vpdata.errors import HubError
from vpdata.hub.licences import OTHER, identifier
from vptrain.config import ModelConfig
from vptrain.hub.data import DataFacts

BASE = "stabilityai/stable-video-diffusion-img2vid-xt"
SVD = "stable-video-diffusion-community"
"""The licence of those weights."""
SVD_LINK = f"https://huggingface.co/{BASE}/blob/main/LICENSE.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """The Hub's identifier; for `other` also a name and a link."""

    id: str
    name: str = ""
    link: str = ""


def base_model(model: ModelConfig) -> str:
    """The Hub repository whose weights training began with, "" where it is none whose licence is known."""
    return BASE if model.pretrained == BASE else ""


def licence_of(model: ModelConfig, trainings: Sequence[DataFacts], *, named: str | None) -> Licence:
    """The named licence; or that of Stable Video Diffusion, if the model began with it and its data say theirs.

    Raises:
        HubError: the Hub does not know the named one, or none is named and none follows.
    """
    if named == SVD:
        return Licence(id=OTHER, name=SVD, link=SVD_LINK)
    if named is not None:
        return Licence(id=identifier(named))
    if not base_model(model):
        began = "random weights" if model.pretrained in ("random", "embedded") else f"{model.pretrained!r}"
        raise _unnamed(f"no licence follows for a model that began with {began}.")
    for facts in trainings:
        if not facts.sources:
            raise _unnamed(f"the licences of what {facts.training.stage} was trained on are unknown. {facts.unknown}")
        for source in facts.sources:
            if "" in source.licences:
                raise _unnamed(f"{facts.training.stage}: episodes of {source.name} carry no licence.")
    return Licence(id=OTHER, name=SVD, link=SVD_LINK)


def _unnamed(what: str) -> HubError:
    hint = f"Say with --license under which one you may publish the weights (an identifier of the Hub, or {SVD})."
    return HubError(what, hint=hint)
