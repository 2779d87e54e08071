"""Configurations as plain values and back, `name=value` assignments to their fields, and how two of them differ."""

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from vptrain.errors import VptrainError

T = TypeVar("T")

_UNIONS = (types.UnionType, typing.Union)  # Literal["a"] | None is the latter


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as nested plain values, tuples as lists."""
    return typing.cast(dict[str, Any], _plain(dataclasses.asdict(config)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def flattened(values: dict[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """The plain values of `to_dict` by dotted name, such as `unet.norm_groups`, in order; lists of plain ones whole."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = value if isinstance(value, dict) else None
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner = {str(i): item for i, item in enumerate(value)}
        if inner is None:
            flat[prefix + name] = value
        else:
            flat |= flattened(inner, prefix=f"{prefix}{name}.")
    return flat


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Dotted name, value in `a` and value in `b` of every field in which two configurations differ.

    A field that one of them does not have counts as None there.
    """
    x, y = flattened(a), flattened(b)
    return [(name, x.get(name), y.get(name)) for name in x | y if x.get(name) != y.get(name)]


def from_dict(kind: type[T], values: dict[str, Any]) -> T:
    """The inverse of `to_dict`.

    Raises:
        VptrainError: a key is unknown.
    """
    hints = typing.get_type_hints(kind)
    unknown = set(values) - set(hints)
    if unknown:
        raise VptrainError(
            f"{kind.__name__} has no {', '.join(sorted(unknown))}; this configuration is of another version."
        )
    return kind(**{key: _typed(hints[key], value) for key, value in values.items()})


def _typed(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type[Any], hint), value)
    origin = typing.get_origin(hint)
    if origin is tuple:
        return tuple(_typed(typing.get_args(hint)[0], item) for item in value)
    if origin in _UNIONS and value is not None:
        return _typed(next(arg for arg in typing.get_args(hint) if arg is not type(None)), value)
    return value


def overridden(config: T, assignments: Sequence[str]) -> T:
    """A configuration with `name=value` assignments to its plain fields: tuples as `a,b,c`, None and empty as `none`.

    Raises:
        VptrainError: there is no such plain field, or the value does not fit it.
    """
    hints = typing.get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or name not in hints or dataclasses.is_dataclass(hints[name]):
            plain = ", ".join(key for key, hint in hints.items() if not dataclasses.is_dataclass(hint))
            raise VptrainError(f"cannot set {assignment!r}.", hint=f"Write NAME=VALUE with one of: {plain}.")
        try:
            changes[name] = _parsed(hints[name], text)
        except ValueError as error:
            raise VptrainError(f"{text!r} is no value for {name} ({error}).") from None
    return typing.cast(T, dataclasses.replace(typing.cast(Any, config), **changes))


def _parsed(hint: Any, text: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return () if text == "none" else tuple(_parsed(arguments[0], part) for part in text.split(","))
    if origin in _UNIONS:
        plain = next(argument for argument in arguments if argument is not type(None))
        return None if text == "none" else _parsed(plain, text)
    if origin is Literal:
        if text not in arguments:
            raise ValueError(f"choose one of {', '.join(arguments)}")
        return text
    if hint is bool:
        if text not in ("true", "false"):
            raise ValueError("write true or false")
        return text == "true"
    return hint(text)
