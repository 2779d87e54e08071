"""A place of a model in, a policy that acts on pictures out: for robots, servers, and notebooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vpdata.loader.window import Window
from vptrain.batch import make_batches
from vptrain.checkpoint import Checkpoint
from vptrain.config import SamplingConfig
from vptrain.device import usable_device
from vptrain.errors import VptrainError
from vptrain.models.policy import VideoPolicy
from vptrain.models.text import CachedText, load_text_encoder
from vptrain.normalize import ActionNormalizer
from vptrain.rollout.commands import robot_commands
from vptrain.rollout.policy import predict


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predicted:
    """What follows one observation.

    Attributes:
        actions: float64 (horizon, D), one for every step from now on; None of a model that predicts video alone.
        action_space: of their columns, a name in `vpdata.spaces`; None likewise.
        video: camera -> uint8 (num_frames, H, W, 3), RGB, every `stride` steps from now on; None unless asked for.
    """

    actions: NDArray[np.float64] | None
    action_space: str | None
    video: dict[str, NDArray[np.uint8]] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedPolicy:
    """A model ready to predict.

    Attributes:
        checkpoint: what it says of itself; `checkpoint.place` names the commit of one from the Hub.
        policy: its networks, on their device.
        text: encodes instructions.
    """

    checkpoint: Checkpoint
    policy: VideoPolicy
    text: CachedText

    @property
    def normalizer(self) -> ActionNormalizer | None:
        """Of its actions; None for a model that predicts video alone."""
        return None if self.checkpoint.run.stage == "stage1" else self.checkpoint.normalizer

    def predict(
        self,
        pictures: Mapping[str, NDArray[np.uint8]],
        instruction: str,
        *,
        seed: int = 0,
        action_space: str | None = None,
        with_video: bool = False,
        sampling: SamplingConfig | None = None,
    ) -> Predicted:
        """What the robot should do now, and what would be seen then.

        Args:
            pictures: camera -> uint8 (height, width, 3), RGB and upright, seen now. At least one of the model's cameras
                (`checkpoint.model.cameras`); others are left out.
            instruction: what to do.
            seed: of the sampler's noise.
            action_space: the robot's own, for commands clipped to what its interface takes; None for the model's.
            with_video: whether to decode the video; always, for a model that predicts nothing else.
            sampling: how to sample; None for the model's way.

        Raises:
            VptrainError: there is no picture of a camera that the model knows, one is of another shape or type, or the
                model's actions do not say what the robot has to do.
        """
        window = self._window(pictures, instruction)
        (batch,) = make_batches([window], image_size=self.checkpoint.model.image_size, device=self._device)
        with_video = with_video or self.normalizer is None
        prediction = predict(
            self.policy,
            batch,
            text=self.text,
            sampling=sampling or self.checkpoint.model.sampling,
            seeds=[seed],
            with_actions=self.normalizer is not None,
            with_video=with_video,
        )
        video = None
        if prediction.frames_BVFHWC is not None:
            video = dict(zip(batch.layout, prediction.frames_BVFHWC[0].numpy(), strict=True))
        if self.normalizer is None or prediction.actions_BAD is None:
            return Predicted(actions=None, action_space=None, video=video)
        predicted = prediction.actions_BAD[0].double().numpy()
        if action_space is None:
            return Predicted(
                actions=self.normalizer.restore(predicted), action_space=self.normalizer.space, video=video
            )
        actions = robot_commands(predicted, normalizer=self.normalizer, space=action_space)
        return Predicted(actions=actions, action_space=action_space, video=video)

    @property
    def _device(self) -> torch.device:
        return next(self.policy.parameters()).device

    def _window(self, pictures: Mapping[str, NDArray[np.uint8]], instruction: str) -> Window:
        """As a loader would give it; only its first frames are looked at."""
        model = self.checkpoint.model
        shown = {camera: pictures[camera] for camera in model.cameras if camera in pictures}
        if not shown:
            what = f"there are pictures of {', '.join(pictures) or 'no camera'}; the model knows "
            raise VptrainError(f"{what}{', '.join(model.cameras)}.", path=self.checkpoint.place)
        for camera, picture in shown.items():
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                what = f"the picture of {camera} is {picture.dtype} {picture.shape}, not uint8 (height, width, 3)."
                raise VptrainError(what, path=self.checkpoint.place)
        return Window(
            frames={camera: np.stack([picture] * model.num_frames) for camera, picture in shown.items()},
            frame_mask=np.ones(model.num_frames, np.bool_),
            actions=None,
            action_mask=np.zeros(model.horizon, np.bool_),
            action_space=None,
            state=None,
            state_space=None,
            instruction=instruction,
            key="",
            shard="",
            start=0,
            source="",
            position=None,
        )


def load_policy(place: Path | str, *, device: str | None = None, text_encoder: str | None = None) -> LoadedPolicy:
    """Loads a model.

    Args:
        place: a run, one of its checkpoints, or a model on the Hub: `hf://USER/NAME[@REVISION]`.
        device: `cpu`, `cuda`, `cuda:1`; None for a GPU where there is one.
        text_encoder: folder or Hub repository of the CLIP text encoder, for models other than tiny.

    Raises:
        VptrainError: there is no model, or it is damaged.
        HubError: the Hub cannot be read.
    """
    checkpoint = Checkpoint.open(place)
    chosen = usable_device(device)
    return LoadedPolicy(
        checkpoint=checkpoint,
        policy=checkpoint.load_policy().to(chosen).eval(),
        text=load_text_encoder(checkpoint.model.text, location=text_encoder),
    )
