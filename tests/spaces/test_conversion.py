"""Conversions as inverse pairs, found by groups; what they refuse; and, on recordings, that frames are as declared."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from turns import ANGLES, AXES, matrix_of

from vpdata import sources, spaces
from vpdata.errors import VpdataError
from vpdata.sources import SourceOptions
from vpdata.spaces import rotation
from vpdata.spaces.conversion import Conversion
from vpdata.spaces.conversion import convert as convert_by
from vpdata.spaces.space import Frame, Gripper, Group, Other, Position, Rotation, Space, dimensions

FORMS = ["axis-angle", "quaternion xyzw", "quaternion wxyz", "6-D", "matrix", "euler xyz", "euler ZYX", "euler zxz"]
ARM, ROBOCASA, ROBOCASA365 = "osc_pose_action", "robocasa_panda_omron_action", "robocasa365_panda_omron_action"
DELTAS = st.lists(st.floats(-1, 1), min_size=7, max_size=7).map(np.array)
TOLERANCE = {np.float32: 3e-6, np.float64: 1e-12}


def of_rotation(form: str, *, frame: Frame = "base", is_change: bool = False) -> Space:
    unit = "rad" if form.startswith(("axis", "euler")) else "1"
    names = " ".join(f"r{i}" for i in range(rotation.size_of(form)))
    meaning = Rotation(frame=frame, form=form, is_change=is_change)
    group = Group(part="eef", meaning=meaning, dimensions=dimensions(names, unit=unit))
    return Space(name=f"{form} action", kind="action", groups=(group,), description="")


def of_gripper(open_: float, closed: float) -> Space:
    meaning = Gripper(open=open_, closed=closed, measure="command")
    group = Group(part="gripper", meaning=meaning, dimensions=dimensions("gripper", unit="1"))
    return Space(name=f"from {open_} to {closed}", kind="action", groups=(group,), description="")


def through(values: NDArray[np.floating], *way: Space) -> NDArray[np.generic]:
    """The values after conversion from each space to the next."""
    converted: NDArray[np.generic] = values
    for source, target in itertools.pairwise(way):
        converted = convert_by(Conversion.plan(source, target, state=None), converted, None)
        assert converted.dtype == values.dtype
        assert converted.shape == (*values.shape[:-1], target.size)
    return converted


def poses(kind: str, axis: NDArray[np.float64], angle: float, place: Sequence[float]) -> NDArray[np.float64]:
    """A row of the state space of that name; all but the end effector's pose is zero."""
    quaternion = np.array([*(axis * np.sin(angle / 2)), np.cos(angle / 2)])
    return {
        "libero_panda_state": np.array([*place, *(axis * angle), 0, 0]),
        "robomimic_panda_state": np.array([*place, *quaternion, 0, 0]),
        "robocasa_panda_omron_state": np.array([0, 0, 0, 0, 0, 0, 1, *place, *quaternion, 0, 0]),
    }[kind]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=50)
@given(axis=AXES, angle=ANGLES)
def test_rotations_come_back_from_every_form(dtype: type[np.floating], axis: NDArray[np.float64], angle: float) -> None:
    vectors = np.array([[axis * angle], [axis], [np.zeros(3)]], dtype=dtype)  # (3, 1, 3)
    start = of_rotation("axis-angle")
    for form in FORMS:
        back = through(vectors, start, of_rotation(form), start)
        for given_, found in zip(vectors.reshape(-1, 3), back.reshape(-1, 3), strict=True):
            expected = matrix_of(*_axis_and_angle(given_))
            np.testing.assert_allclose(
                matrix_of(*_axis_and_angle(found)), expected, atol=TOLERANCE[dtype], err_msg=form
            )


def _axis_and_angle(vector: NDArray[np.generic]) -> tuple[NDArray[np.float64], float]:
    wide = vector.astype(np.float64)
    angle = float(np.linalg.norm(wide))
    return (wide / angle if angle else np.array([1.0, 0, 0])), angle


@given(st.lists(st.floats(-2, 2), min_size=4, max_size=4))
def test_the_order_of_a_quaternion_is_all_that_changes(values: list[float]) -> None:
    xyzw, wxyz = of_rotation("quaternion xyzw"), of_rotation("quaternion wxyz")
    np.testing.assert_array_equal(through(np.array(values), xyzw, wxyz), np.array(values)[[3, 0, 1, 2]])
    np.testing.assert_array_equal(through(np.array(values), xyzw, wxyz, xyzw), values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(values=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=5))
def test_grippers_of_other_sense_and_range(dtype: type[np.floating], values: list[float]) -> None:
    commands = np.array(values, dtype=dtype)[:, None]
    robosuite, flipped, share, width = of_gripper(-1, 1), of_gripper(1, -1), of_gripper(1, 0), of_gripper(0.08, 0)
    np.testing.assert_array_equal(through(commands, robosuite, flipped), -commands)
    np.testing.assert_array_equal(through(commands, robosuite, flipped, robosuite), commands)
    np.testing.assert_allclose(through(commands, robosuite, share), (1 - commands) / 2, atol=1e-7)
    np.testing.assert_allclose(through(commands, robosuite, share, width, robosuite), commands, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_order_of_robocasa365(dtype: type[np.floating]) -> None:
    hdf5 = np.random.default_rng(0).normal(size=(4, 3, 12)).astype(dtype)
    lerobot = spaces.convert(hdf5, ROBOCASA, ROBOCASA365)
    np.testing.assert_array_equal(lerobot, hdf5[..., [7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6]])
    np.testing.assert_array_equal(spaces.convert(lerobot, ROBOCASA365, ROBOCASA), hdf5)
    np.testing.assert_array_equal(spaces.convert(lerobot, ROBOCASA365, ARM), hdf5[..., :7])
    rest = spaces.convert(hdf5[..., :7], ARM, ROBOCASA365)
    np.testing.assert_array_equal(rest[..., :5], np.broadcast_to([0, 0, 0, 0, -1], (4, 3, 5)))


@pytest.mark.parametrize("kind", ["libero_panda_state", "robomimic_panda_state", "robocasa_panda_omron_state"])
@settings(max_examples=50)
@given(action=DELTAS, axis=AXES, angle=ANGLES, place=st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_a_change_is_composed_with_the_pose(
    kind: str, action: NDArray[np.float64], axis: NDArray[np.float64], angle: float, place: list[float]
) -> None:
    state, seen = poses(kind, axis, angle, place), {"state_space": kind}
    absolute = f"eef_pose_{'base' if 'omron' in kind else 'world'}_action"
    turned, change = matrix_of(axis, angle), matrix_of(*_axis_and_angle(0.5 * action[3:6]))
    target = spaces.convert(action, ARM, absolute, state=state, **seen)
    np.testing.assert_allclose(target[:3], np.array(place) + 0.05 * action[:3], atol=1e-12)
    np.testing.assert_allclose(target[3:9].reshape(2, 3).T, (change @ turned)[:, :2], atol=1e-12)
    assert target[9] == action[6]
    own = spaces.convert(action, ARM, "eef_delta_action", state=state, **seen)
    np.testing.assert_allclose(own[:3], turned.T @ (0.05 * action[:3]), atol=1e-12)
    np.testing.assert_allclose(own[3:6], turned.T @ (0.5 * action[3:6]), atol=1e-12)
    for name, values in ((absolute, target), ("eef_delta_action", own)):
        np.testing.assert_allclose(spaces.convert(values, name, ARM, state=state, **seen), action, atol=1e-11)
    np.testing.assert_allclose(
        spaces.convert(own, "eef_delta_action", absolute, state=state, **seen), target, atol=1e-12
    )


def test_whole_trajectories_convert_at_once_and_keep_their_dtype() -> None:
    random = np.random.default_rng(1)
    actions = random.uniform(-1, 1, (5, 4, 12)).astype(np.float32)
    states = np.stack([poses("robocasa_panda_omron_state", np.eye(3)[i % 3], i, [i, 0, 1]) for i in range(20)])
    states = states.reshape(5, 4, 16)
    seen = {"state_space": "robocasa_panda_omron_state"}
    targets = spaces.convert(actions, ROBOCASA, "eef_pose_base_action", state=states, **seen)
    assert (targets.shape, targets.dtype) == ((5, 4, 10), np.float32)
    back = spaces.convert(targets, "eef_pose_base_action", ROBOCASA, state=states, **seen)
    np.testing.assert_allclose(back[..., :7], actions[..., :7], atol=1e-4)  # 20 m / 0.05 m, times float32's rounding
    one = spaces.convert(actions[2, 3], ROBOCASA, "eef_pose_base_action", state=states[2, 3], **seen)
    np.testing.assert_array_equal(one, targets[2, 3])


def test_units_with_a_factor() -> None:
    wide = spaces.load("metaworld_action")
    group = wide.groups[0]
    fine = replace(
        wide, name="finer", groups=(replace(group, dimensions=dimensions("x y z", unit="m")), wide.groups[1])
    )
    values = np.array([[1.0, -0.5, 0.25, 1.0]])
    np.testing.assert_allclose(through(values, wide, fine), [[0.01, -0.005, 0.0025, 1.0]], rtol=1e-15)
    np.testing.assert_allclose(through(values, wide, fine, wide), values, rtol=1e-15)


@pytest.mark.parametrize(
    ("source", "target", "state", "message"),
    [
        (
            "aloha_action",
            ARM,
            None,
            "the left_arm joints, left_gripper, .* would be lost; nothing says the eef position",
        ),
        (ARM, "metaworld_action", None, "the eef rotation would be lost"),
        ("metaworld_action", ARM, None, "nothing says the eef rotation"),
        (ARM, "eef_pose_base_action", None, "takes the state"),
        (ARM, "eef_pose_base_action", "libero_panda_state", "takes more than its pose in the world's frame"),
        (ARM, "eef_pose_world_action", "robocasa_panda_omron_state", "takes more than its pose in the base's frame"),
        (ARM, "eef_delta_action", "aloha_state", "takes its pose, which aloha_state does not say"),
        (
            ARM,
            "eef_delta_action",
            "metaworld_state",
            "position, in the end effector's, takes its pose, which metaworld",
        ),
        (ARM, "eef_pose_world_action", "metaworld_state", "takes more than its pose in the world's frame, which meta"),
        ("robocasa_panda_omron_state", "robomimic_panda_state", None, "the base position, base rotation would be lost"),
        ("aloha_state", "aloha_action", None, "one is of states, the other of actions"),
        ("action:x,y", "action:y,x", None, "the columns are x, y, not y, x"),
    ],
)
def test_what_would_be_lost_or_invented_is_refused(source: str, target: str, state: str | None, message: str) -> None:
    assert not spaces.can_convert(source, target, state_space=state)
    reason = spaces.refusal(source, target, state_space=state)
    assert reason is not None
    values = np.zeros((2, spaces.load(source).size))
    seen = None if state is None else np.zeros((2, spaces.load(state).size))
    with pytest.raises(VpdataError, match=message) as caught:
        spaces.convert(values, source, target, state=seen, state_space=state)
    assert reason in str(caught.value)


def test_arrays_that_do_not_fit_are_refused() -> None:
    seen = {"state_space": "libero_panda_state"}
    with pytest.raises(VpdataError, match=r"state of shape None does not go with values of shape \(2, 7\)"):
        spaces.convert(np.zeros((2, 7)), ARM, "eef_delta_action", **seen)
    with pytest.raises(VpdataError, match=r"state of shape \(3, 8\)"):
        spaces.convert(np.zeros((2, 7)), ARM, "eef_delta_action", state=np.zeros((3, 8)), **seen)
    with pytest.raises(VpdataError, match="dtype int64 cannot be converted"):
        spaces.convert(np.zeros((2, 7), dtype=np.int64), ARM, ROBOCASA)
    with pytest.raises(VpdataError, match="has no length"):
        spaces.convert(np.zeros((2, 10)), "eef_pose_world_action", "eef_delta_action", state=np.zeros((2, 8)), **seen)


def test_a_gripper_position_is_no_command() -> None:
    group = Group(
        part="gripper", meaning=Gripper(open=1, closed=0, measure="position"), dimensions=dimensions("g", unit="1")
    )
    measured = Space(name="measured", kind="action", groups=(group,), description="")
    assert Conversion.plan(of_gripper(1, 0), measured, state=None).reasons == (
        "a gripper's command does not say its position",
    )


def test_every_space_converts_to_itself_and_back_where_nothing_is_dropped() -> None:
    random = np.random.default_rng(0)
    for name in spaces.names():
        values = random.uniform(-1, 1, (3, spaces.load(name).size)).astype(np.float32)
        assert spaces.convert(values, name, name) is values
        whole = Conversion.plan(spaces.load(name), spaces.load(name), state=None)
        np.testing.assert_array_equal(convert_by(whole, values, None), values)


def test_groups_check_what_they_declare() -> None:
    x, xyz = dimensions("x", unit="1"), dimensions("x y z", unit="m")
    for wrong in (
        {"meaning": Position(frame="base"), "dimensions": xyz[:2]},
        {"meaning": Position(frame="base"), "dimensions": dimensions("x y z", unit="1")},
        {"meaning": Rotation(frame="base", form="axis-angle"), "dimensions": xyz},
        {"meaning": Rotation(frame="base", form="6-D"), "dimensions": xyz},
        {"meaning": Gripper(open=1, closed=1, measure="command"), "dimensions": x},
        {"meaning": Other(), "dimensions": x, "default": (0, 0)},
        {"meaning": Other(), "dimensions": ()},
    ):
        with pytest.raises(ValueError, match="part"):
            Group(part="part", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="can only change its pose"):
        Position(frame="end effector")
    place = Group(part="eef", meaning=Position(frame="base"), dimensions=xyz)
    turn = Group(
        part="eef", meaning=Rotation(frame="world", form="axis-angle"), dimensions=dimensions("a b c", unit="rad")
    )
    with pytest.raises(ValueError, match="in different frames"):
        Space(name="torn", kind="state", groups=(place, turn), description="")
    group = Group(part="one", meaning=Other(), dimensions=x)
    with pytest.raises(ValueError, match="two groups of one part"):
        Space(
            name="two",
            kind="action",
            groups=(group, replace(group, dimensions=dimensions("y", unit="1"))),
            description="",
        )


@pytest.mark.parametrize(
    ("source", "file", "absolute"),
    [
        ("libero", "libero/open_the_middle_drawer_of_the_cabinet_demo.hdf5", "eef_pose_world_action"),
        (
            "robocasa",
            "robocasa/v0.1/single_stage/kitchen_drawer/OpenDrawer/demo_gentex_im128_randcams.hdf5",
            "eef_pose_base_action",
        ),
    ],
)
def test_recorded_motion_follows_the_commands_in_the_declared_frame(
    recordings: Path, source: str, file: str, absolute: str
) -> None:
    """The arm goes, with some delay, where it is told: not so if a change were read in the axes of the end effector."""
    actions, states, space = _recorded(source, recordings / file)
    moved = spaces.convert(_next_poses(states, space), absolute, ARM, state=states[:-1], state_space=space)
    in_own_axes = spaces.convert(
        _next_poses(states, space), absolute, "eef_delta_action", state=states[:-1], state_space=space
    )
    told = spaces.convert(actions, "osc_pose_action" if source == "libero" else ROBOCASA, ARM)[: len(moved)]
    assert _agreement(told, moved).min() > 0.35
    assert _agreement(told, in_own_axes).min() < 0


def test_libero_states_are_robomimic_states(recordings: Path) -> None:
    """Against the quaternions that LIBERO's recorder wrote beside its axis angles."""
    file = recordings / "libero/open_the_middle_drawer_of_the_cabinet_demo.hdf5"
    _, states, space = _recorded("libero", file)
    converted = spaces.convert(states, space, "robomimic_panda_state")
    with h5py.File(file) as recorded:
        expected = recorded["data/demo_0/robot_states"][:][:, [2, 3, 4, 5, 6, 7, 8, 0, 1]]
    signs = np.sign(np.sum(converted[:, 3:7] * expected[:, 3:7], axis=1, keepdims=True))
    converted[:, 3:7] *= signs
    np.testing.assert_allclose(converted, expected, atol=1e-6)


def _recorded(source: str, file: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    plugin = sources.load(source)
    (found,) = plugin.find(file)
    episode = next(iter(plugin.episodes(found, SourceOptions())))
    with plugin.open(found, episode, SourceOptions()) as reader:
        return reader.actions.astype(float), reader.state.astype(float), episode.state_space


def _next_poses(states: NDArray[np.float64], space: str) -> NDArray[np.float64]:
    """Where the end effector is one step later, as an absolute target: position, 6-D rotation, gripper."""
    begin, form = (0, "axis-angle") if space == "libero_panda_state" else (7, "quaternion xyzw")
    turned = states[1:, begin + 3 : begin + 3 + rotation.size_of(form)]
    six = rotation.from_quaternion(rotation.to_quaternion(turned, form), "6-D")
    return np.concatenate([states[1:, begin : begin + 3], six, np.zeros((len(six), 1))], axis=1)


def _agreement(told: NDArray[np.generic], moved: NDArray[np.generic]) -> NDArray[np.float64]:
    """Correlation of commands with what happens two steps later, both summed over five steps, column by column."""
    sums = [np.lib.stride_tricks.sliding_window_view(rows[:, :6], 5, axis=0).sum(-1) for rows in (told, moved)]
    return np.array([np.corrcoef(sums[0][:-2, i], sums[1][2:, i])[0, 1] for i in range(6)])
