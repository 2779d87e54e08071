"""A condition like `fps >= 20 and task != 'OpenDrawer'` and an index enter; which clips it keeps leaves.

pandas evaluates it over `Index.frame()`. Only what a condition needs is let through: a mixture file may come from
elsewhere, and must not be able to call anything but the text tests below.
"""

import ast
import re

import numpy as np
from numpy.typing import NDArray

from vpdata.errors import MixtureError
from vpdata.shards.index import Index

_TEXT_TESTS = ("contains", "endswith", "fullmatch", "len", "lower", "match", "startswith", "upper")
_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.unaryop, ast.Compare, ast.cmpop,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.BitAnd, ast.BitOr,
    ast.Constant, ast.Name, ast.List, ast.Tuple, ast.expr_context,
)  # fmt: skip
_HINT = "Write a condition like `fps >= 20 and task != 'OpenDrawer'`."


def matching(index: Index, query: str, *, source: str, place: str) -> NDArray[np.bool_]:
    """(N,) bool: the clips for which the condition holds; a comparison with a missing number does not.

    Args:
        index: of the data set.
        query: over the columns of `Index.frame()`, in pandas' syntax: comparisons, arithmetic, `and`, `or`, `not`,
            `in`, and tests like `file.str.contains('kitchen')`.
        source, place: of the data set, for messages.

    Raises:
        MixtureError: it is no such condition, names an unknown column, or keeps nothing.
    """
    names = _column_names(query, source=source, place=place)
    frame = index.frame()
    for name in sorted(names):
        if name not in frame.columns:
            raise _error(query, source, place, f"there is no column {name!r}", f"Columns: {', '.join(frame.columns)}.")
    try:
        found = frame.eval(query, engine="python", parser="pandas")
        kept: NDArray[np.bool_] = np.asarray(found)
    except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError, re.error) as error:
        raise _error(query, source, place, f"it cannot be evaluated ({error})") from error
    if kept.dtype != np.bool_ or kept.shape != (len(index),):
        raise _error(query, source, place, "it does not say yes or no for each clip")
    if not kept.any():
        raise _error(query, source, place, f"none of {len(index)} clips is left", "Change or remove the query.")
    return kept


def _column_names(query: str, *, source: str, place: str) -> set[str]:
    """The columns that a condition names, once everything in it is known to be harmless."""
    try:
        tree = ast.parse(query.strip(), mode="eval")
    except (SyntaxError, ValueError):
        raise _error(query, source, place, "it is no expression") from None
    texts: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_text_test(node):
            method = node.func
            assert isinstance(method, ast.Attribute)
            texts |= {node, method, method.value, *node.keywords}
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED) and node not in texts:
            raise _error(query, source, place, f"{ast.unparse(node)!r} is not allowed in it")
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _is_text_test(call: ast.Call) -> bool:
    """Whether this is `SOMETHING.str.METHOD(...)` with one of the harmless methods."""
    method = call.func
    return (
        isinstance(method, ast.Attribute)
        and method.attr in _TEXT_TESTS
        and isinstance(method.value, ast.Attribute)
        and method.value.attr == "str"
    )


def _error(query: str, source: str, place: str, what: str, hint: str = _HINT) -> MixtureError:
    return MixtureError(f"source {source}: query {query!r}: {what}.", path=place, hint=hint)
