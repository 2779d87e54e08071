"""What a person says about a bag: which topics are cameras, and which of their fields are state and action.

Enters: the text of a TOML file. Leaves: a checked `TopicMap`, or a SourceError that names the key.

    stamps = "header"                  or "receive": when a message was made, or when it was recorded
    fps = 20                           of the clock; the first camera's otherwise
    actions_hold = true                each action holds until the next; a step, done once, otherwise
    action_space = "…"                 of vpdata.spaces; the fields declare their own otherwise
    state_space = "…"

    [cameras]
    wrist = "/wrist/image_raw/compressed"

    [[state]]                          once for each topic
    topic = "/joint_states"
    stamps = "receive"                 only where it differs
    fields = { joint_1 = "position[panda_joint1]", joint_2 = "position[panda_joint2]" }

    [[action]]
    topic = "/command"
    fields = { x = "twist.linear.x", gripper = "data[6]" }
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from vpdata import spaces
from vpdata.errors import SourceError, VpdataError
from vpdata.schema import NAME_PATTERN

Stamps = Literal["header", "receive"]

WHERE = "the file of --topics"
HINT = "Correct the file; docs/SOURCES.md describes it."
DIMENSION_PATTERN = re.compile(r"[A-Za-z0-9_.]+")
STEP_PATTERN = re.compile(r"([A-Za-z]\w*)(?:\[([^\[\]]+)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One number of a message.

    Attributes:
        name: of the dimension that it becomes.
        text: how it is written, `pose.position.x`, `data[0]` or `position[panda_joint1]`.
        steps: the attributes on the way there, each with the index into it: a number, or a name that is looked up in
            the message's own list `name` beside it, or None.
    """

    name: str
    text: str
    steps: tuple[tuple[str, int | str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFields:
    """Fields of one topic, in the order of their dimensions."""

    topic: str
    stamps: Stamps
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicMap:
    """The whole file. `action_names` and `state_names` are the dimensions in the order of their space."""

    stamps: Stamps = "header"
    fps: float | None = None
    actions_hold: bool = False
    action_space: str | None = None
    state_space: str | None = None
    action_names: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()
    cameras: Mapping[str, str] = field(default_factory=dict)
    action: tuple[TopicFields, ...] = ()
    state: tuple[TopicFields, ...] = ()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(_is_text(text) for text in value.values())


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(table, dict) for table in value)


Checks = Mapping[str, tuple[Callable[[Any], bool], str]]

STAMPS: Checks = {"stamps": (lambda value: value in ("header", "receive"), '"header" or "receive"')}
KEYS: Checks = {
    **STAMPS,
    "fps": (_is_rate, "a number above zero"),
    "actions_hold": (lambda value: isinstance(value, bool), "true or false"),
    "action_space": (_is_text, "the name of a space"),
    "state_space": (_is_text, "the name of a space"),
    "cameras": (_is_texts, 'a table of NAME = "TOPIC"'),
    "action": (_is_tables, "written as [[action]]"),
    "state": (_is_tables, "written as [[state]]"),
}
TOPIC_KEYS: Checks = {
    **STAMPS,
    "topic": (_is_text, "the name of a topic"),
    "fields": (_is_texts, 'a table of DIMENSION = "FIELD"'),
}


def read_topics(text: str | None) -> TopicMap:
    """Reads the text of a TOML file; None says nothing.

    Raises:
        SourceError: it is not TOML, has a key that is not known, or a value of the wrong kind.
    """
    if text is None:
        return TopicMap()
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"this is not TOML ({error}).", path=WHERE, hint=HINT) from error
    _check(values, KEYS, where="")
    for name in values.get("cameras", {}):
        if NAME_PATTERN.fullmatch(name) is None:
            raise SourceError(f"camera name {name!r} is not [a-z0-9_]+.", path=WHERE, hint=HINT)
    if len(set(values.get("cameras", {}).values())) != len(values.get("cameras", {})):
        raise SourceError("one topic is to be several cameras.", path=WHERE, hint="Give each topic one name.")
    stamps: Stamps = values.get("stamps", "header")
    topics = {kind: _topics(kind, values.get(kind, []), stamps=stamps) for kind in ("action", "state")}
    action_space, action_names = _space("action", values.get("action_space"), topics["action"])
    state_space, state_names = _space("state", values.get("state_space"), topics["state"])
    return TopicMap(
        stamps=stamps,
        fps=values.get("fps"),
        actions_hold=values.get("actions_hold", False),
        cameras=values.get("cameras", {}),
        **cast(dict[str, Any], topics),
        action_space=action_space,
        action_names=action_names,
        state_space=state_space,
        state_names=state_names,
    )


def _check(values: Mapping[str, Any], keys: Checks, *, where: str) -> None:
    for key, value in values.items():
        if key not in keys:
            raise SourceError(f"{where}there is a key {key!r}; keys are {', '.join(keys)}.", path=WHERE, hint=HINT)
        check, wanted = keys[key]
        if not check(value):
            raise SourceError(f"{where}{key!r} is {value!r}, not {wanted}.", path=WHERE, hint=HINT)


def _topics(kind: str, tables: Sequence[Mapping[str, Any]], *, stamps: Stamps) -> tuple[TopicFields, ...]:
    found: dict[str, TopicFields] = {}
    for number, table in enumerate(tables, 1):
        where = f"[[{kind}]] number {number}: "
        _check(table, TOPIC_KEYS, where=where)
        if missing := [key for key in ("topic", "fields") if key not in table]:
            raise SourceError(f"{where}{missing[0]!r} is missing.", path=WHERE, hint=HINT)
        if table["topic"] in found:
            raise SourceError(f"{where}{table['topic']} stands there twice.", path=WHERE, hint="Join their fields.")
        fields = tuple(_field(name, text, where=where) for name, text in table["fields"].items())
        found[table["topic"]] = TopicFields(topic=table["topic"], stamps=table.get("stamps", stamps), fields=fields)
    return tuple(found.values())


def _field(name: str, text: str, *, where: str) -> Field:
    steps = [STEP_PATTERN.fullmatch(step) for step in re.split(r"\.(?![^\[]*\])", text)]
    if DIMENSION_PATTERN.fullmatch(name) is None:
        raise SourceError(f"{where}dimension {name!r} is not [A-Za-z0-9_.]+.", path=WHERE, hint=HINT)
    if not all(steps):
        hint = "Write it like pose.position.x, data[0] or position[panda_joint1]."
        raise SourceError(f"{where}{text!r} is no field.", path=WHERE, hint=hint)
    return Field(name=name, text=text, steps=tuple((step[1], _index(step[2])) for step in steps if step))


def _index(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text


def _space(
    kind: Literal["action", "state"], declared: str | None, topics: Sequence[TopicFields]
) -> tuple[str | None, tuple[str, ...]]:
    """The name of the space and its dimensions in order. Raises SourceError where the fields are not its dimensions."""
    names = tuple(field.name for topic in topics for field in topic.fields)
    if len(set(names)) != len(names):
        raise SourceError(f"a dimension of [[{kind}]] comes twice: {', '.join(names)}.", path=WHERE, hint=HINT)
    if declared is None:
        return (spaces.name_of(kind, names) if names else None), names
    try:
        space = spaces.load(declared)
    except VpdataError as error:
        raise SourceError(error.what, path=WHERE, hint=error.hint) from error
    dimensions = tuple(dimension.name for dimension in space.dimensions)
    if space.kind != kind or sorted(dimensions) != sorted(names):
        what = f"{kind} dimensions are {', '.join(names) or 'none'}; {declared} is a {space.kind} space of "
        raise SourceError(f"{what}{', '.join(dimensions)}.", path=WHERE, hint="Name the fields by these.")
    return declared, dimensions
