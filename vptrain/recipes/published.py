"""The recipes: the published settings of Video Policy (arXiv 2508.00795), one function each, and the demo's.

They follow the publication except where `docs/TRAINING.md` says so: bf16 instead of fp16, dropout of whole windows and
a loss without padding, which are this project's defaults.
"""

from collections.abc import Callable
from dataclasses import replace

from vptrain.config import RunConfig
from vptrain.errors import VptrainError
from vptrain.recipes.models import SVD, TINY
from vptrain.recipes.recipe import Recipe
from vptrain.recipes.runs import STAGES, run_config

ROBOCASA_WITHHELD = (
    "PnPCabToCounter",
    "PnPSinkToCounter",
    "PnPCounterToMicrowave",
    "PnPCounterToStove",
    "OpenDoubleDoor",
    "CloseDoubleDoor",
    "CloseDrawer",
    "TurnOffSinkFaucet",
    "TurnSinkSpout",
    "TurnOnStove",
    "CoffeeServeMug",
    "TurnOffMicrowave",
)
"""Of RoboCasa's 24 tasks those whose actions the action-free experiment withholds."""


def robocasa24() -> Recipe:
    """All 24 tasks of RoboCasa with their actions."""
    return Recipe(
        name="robocasa24",
        about="RoboCasa, 24 tasks x 50 demos, three cameras, all labelled",
        published="success 0.63 of the 24 tasks (independent reruns 0.58), simulator unpinned",
        model=SVD,
        runs=_full_size("robocasa24"),
        commands=(
            "vpdata ingest robocasa 'recordings/robocasa/**/demo_gentex_im256*.hdf5' --out data/robocasa",
            "vpdata mix data/robocasa --out robocasa24.toml",
            *_trained("robocasa24"),
        ),
    )


def robocasa_action_free() -> Recipe:
    """The same video, with the actions of 12 tasks alone."""
    withheld = " ".join(f"--withhold robocasa:{task}" for task in ROBOCASA_WITHHELD)
    return Recipe(
        name="robocasa_action_free",
        about="RoboCasa, video of 24 tasks, actions of 12",
        published="success 0.41 on the 12 tasks without actions, where diffusion policy has 0.21",
        model=SVD,
        runs=_full_size("robocasa_action_free"),
        commands=(
            "vpdata ingest robocasa 'recordings/robocasa/**/demo_gentex_im256*.hdf5' --out data/robocasa",
            f"vpdata mix data/robocasa {withheld} --out robocasa_action_free.toml",
            *_trained("robocasa_action_free"),
        ),
    )


def libero10() -> Recipe:
    """The ten long tasks of LIBERO: two cameras, 12 frames of each at stride 3, 36 actions."""
    return Recipe(
        name="libero10",
        about="LIBERO-10, two cameras x 12 frames at stride 3, 36 actions",
        published="success 0.94 (public fork)",
        model=replace(SVD, cameras=("wrist", "front"), num_frames=12, stride=3, horizon=36),
        runs=_full_size("libero10"),
        commands=(
            "vpdata ingest libero 'recordings/libero_10/*.hdf5' --out data/libero10",
            "vpdata mix data/libero10 --out libero10.toml",
            *_trained("libero10"),
        ),
    )


def single_camera() -> Recipe:
    """Pre-training on videos of any camera; its file of weights is what stage 1 of the others may start from."""
    stage1, *_ = _full_size("single_camera")
    return Recipe(
        name="single_camera",
        about="pre-training on action-free single-camera video",
        model=SVD,
        runs=(stage1,),
        commands=(
            "vpdata ingest video recordings/videos --fps 20 --size 256 --out data/videos",
            "vpdata mix data/videos --out videos.toml",
            "vptrain stage1 --recipe single_camera --mixture videos.toml --out runs/videos",
            "vptrain convert runs/videos --out pretrained.safetensors",
            "vptrain stage1 --recipe robocasa24 --pretrained pretrained.safetensors --mixture robocasa24.toml "
            "--out runs/robocasa24/video",
        ),
    )


def tiny() -> Recipe:
    """What `make demo` trains, on two CPU cores in minutes."""
    return Recipe(
        name="tiny",
        about="the demo's: every part at 64x64 pixels on two CPU cores",
        model=TINY,
        runs=tuple(replace(run_config(TINY, stage), recipe="tiny") for stage in STAGES),
        commands=(
            "vpdata ingest robocasa tests/recordings/robocasa --out data/robocasa",
            "vpdata ingest video tests/recordings/video --fps 20 --size 128 --out data/video",
            "vpdata mix data/robocasa data/video --action-free 0.7 --out tiny.toml",
            *_trained("tiny"),
        ),
    )


_RECIPES: dict[str, Callable[[], Recipe]] = {
    function.__name__: function for function in (robocasa24, robocasa_action_free, libero10, single_camera, tiny)
}
NAMES = tuple(_RECIPES)


def load(name: str) -> Recipe:
    """The recipe with that name.

    Raises:
        VptrainError: there is none.
    """
    if name not in _RECIPES:
        raise VptrainError(f"there is no recipe {name!r}.", hint=f"Choose one of {', '.join(NAMES)}.")
    return _RECIPES[name]()


def _full_size(name: str) -> tuple[RunConfig, ...]:
    """The method's runs, such that each of eight devices with 80 GB holds its four windows a step."""
    stage1, stage2, joint = (
        replace(
            run_config(SVD, stage),
            recipe=name,
            precision="bf16",
            checkpoint_every=5000,
            evaluate_every=5000,
            num_workers=4,
        )
        for stage in STAGES
    )
    return replace(stage1, micro_batch_size=2), stage2, replace(joint, micro_batch_size=2)


def _trained(name: str) -> tuple[str, ...]:
    run = f"--recipe {name} --mixture {name}.toml"
    return (
        f"vptrain stage1 {run} --out runs/{name}/video",
        f"vptrain stage2 {run} --from runs/{name}/video --out runs/{name}/policy",
        f"vptrain predict runs/{name}/policy --mixture {name}.toml --out runs/{name}/predictions",
    )
